// Sixteen floats in an AVX-512 register.
#pragma once

namespace {

struct Vec16 {
  static constexpr int width = 16;
  __m512 v;

  static Vec16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
  // `load` into a register that is used twice; the compiler would rather read memory twice.
  static Vec16 load_once(const float* p) {
    Vec16 r = load(p);
    asm("" : "+v"(r.v));
    return r;
  }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  static Vec16 all(float f) { return {_mm512_set1_ps(f)}; }
  static Vec16 fma(Vec16 a, Vec16 b, Vec16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
  static Vec16 mul(Vec16 a, Vec16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
  // Negative numbers become zero; NaN stays.
  static Vec16 relu(Vec16 a) { return {_mm512_max_ps(_mm512_setzero_ps(), a.v)}; }
  static Vec16 at(const float* p, const uint16_t* ids) {
    const __m256i i = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ids));
    return {_mm512_i32gather_ps(_mm512_cvtepu16_epi32(i), p, 4)};
  }
  static Vec16 at(const float* p, const uint32_t* ids) {  // ids may exceed 2^31
    const __m512i i = _mm512_loadu_si512(ids);
    const __m256 low = _mm512_i64gather_ps(_mm512_cvtepu32_epi64(_mm512_castsi512_si256(i)), p, 4);
    const __m256 high = _mm512_i64gather_ps(_mm512_cvtepu32_epi64(_mm512_extracti64x4_epi64(i, 1)), p, 4);
    return {_mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1)};
  }
  static Vec16 add(Vec16 a, Vec16 b) { return {_mm512_add_ps(a.v, b.v)}; }
  // out[i] = or += the sum of the lanes of s[i]. Four at a time: one by one it would take as long as the products.
  static void sum4(const Vec16* s, float* out, bool set) {
    const __m512 a = _mm512_add_ps(_mm512_unpacklo_ps(s[0].v, s[1].v), _mm512_unpackhi_ps(s[0].v, s[1].v));
    const __m512 b = _mm512_add_ps(_mm512_unpacklo_ps(s[2].v, s[3].v), _mm512_unpackhi_ps(s[2].v, s[3].v));
    const __m512d x = _mm512_castps_pd(a), y = _mm512_castps_pd(b);
    const __m512 c = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)), _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
    const __m256 d = _mm256_add_ps(_mm512_castps512_ps256(c), _mm512_extractf32x8_ps(c, 1));
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(d), _mm256_extractf128_ps(d, 1));
    if (!set) sum = _mm_add_ps(_mm_loadu_ps(out), sum);
    _mm_storeu_ps(out, sum);
  }
  float sum() const { return _mm512_reduce_add_ps(v); }
};

}  // namespace
