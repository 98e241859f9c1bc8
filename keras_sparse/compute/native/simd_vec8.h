// Eight floats in an AVX2 register.
#pragma once

namespace {

struct Vec8 {
  static constexpr int width = 8;
  __m256 v;

  static Vec8 load(const float* p) { return {_mm256_loadu_ps(p)}; }
  // `load` into a register that is used twice; the compiler would rather read memory twice.
  static Vec8 load_once(const float* p) {
    Vec8 r = load(p);
    asm("" : "+x"(r.v));
    return r;
  }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  static Vec8 all(float f) { return {_mm256_set1_ps(f)}; }
  static Vec8 fma(Vec8 a, Vec8 b, Vec8 c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
  static Vec8 mul(Vec8 a, Vec8 b) { return {_mm256_mul_ps(a.v, b.v)}; }
  // Negative numbers become zero; NaN stays.
  static Vec8 relu(Vec8 a) { return {_mm256_max_ps(_mm256_setzero_ps(), a.v)}; }
  static Vec8 at(const float* p, const uint16_t* ids) {
    return {_mm256_i32gather_ps(p, _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(ids))), 4)};
  }
  static Vec8 at(const float* p, const uint32_t* ids) {  // ids may exceed 2^31
    const __m256i i = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ids));
    const __m128 low = _mm256_i64gather_ps(p, _mm256_cvtepu32_epi64(_mm256_castsi256_si128(i)), 4);
    const __m128 high = _mm256_i64gather_ps(p, _mm256_cvtepu32_epi64(_mm256_extracti128_si256(i, 1)), 4);
    return {_mm256_set_m128(high, low)};
  }
  // x where the gate is above zero, else 0.
  static Vec8 where_positive(Vec8 gate, Vec8 x) {
    return {_mm256_and_ps(_mm256_cmp_ps(gate.v, _mm256_setzero_ps(), _CMP_GT_OQ), x.v)};
  }
  static Vec8 add(Vec8 a, Vec8 b) { return {_mm256_add_ps(a.v, b.v)}; }
  // to[j][i] = from[i][j] for i, j < width.
  static void transpose(const float* from, int64_t from_stride, float* to, int64_t to_stride) {
    __m256 a[8], b[8];
    for (int i = 0; i < 4; i++) {  // halves of two rows in one register: no shuffle across halves is needed later
      const float* p = from + i * from_stride;
      const float* q = p + 4 * from_stride;
      a[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(q), 1);
      a[i + 4] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p + 4)), _mm_loadu_ps(q + 4), 1);
    }
    for (int h = 0; h < 8; h += 4) {
      b[0] = _mm256_unpacklo_ps(a[h], a[h + 1]);
      b[1] = _mm256_unpackhi_ps(a[h], a[h + 1]);
      b[2] = _mm256_unpacklo_ps(a[h + 2], a[h + 3]);
      b[3] = _mm256_unpackhi_ps(a[h + 2], a[h + 3]);
      float* t = to + h * to_stride;
      _mm256_storeu_ps(t, _mm256_shuffle_ps(b[0], b[2], 0x44));
      _mm256_storeu_ps(t + to_stride, _mm256_shuffle_ps(b[0], b[2], 0xee));
      _mm256_storeu_ps(t + 2 * to_stride, _mm256_shuffle_ps(b[1], b[3], 0x44));
      _mm256_storeu_ps(t + 3 * to_stride, _mm256_shuffle_ps(b[1], b[3], 0xee));
    }
  }
  // out[i] = or += the sum of the lanes of s[i].
  static void sum4(const Vec8* s, float* out, bool set) {
    const __m256 a = _mm256_hadd_ps(s[0].v, s[1].v), b = _mm256_hadd_ps(s[2].v, s[3].v);
    const __m256 c = _mm256_hadd_ps(a, b);
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(c), _mm256_extractf128_ps(c, 1));
    if (!set) sum = _mm_add_ps(_mm_loadu_ps(out), sum);
    _mm_storeu_ps(out, sum);
  }
  float sum() const {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
  }
};

}  // namespace
