// Four floats, by the compiler's vector extension: SSE2, NEON or whatever the target has.
#pragma once

namespace {

struct Vec4 {
  static constexpr int width = 4;
  typedef float Raw __attribute__((vector_size(16)));
  typedef int32_t Bits __attribute__((vector_size(16)));
  Raw v;

  static Vec4 load(const float* p) {
    Vec4 r;
    __builtin_memcpy(&r.v, p, sizeof r.v);
    return r;
  }
  static Vec4 load_once(const float* p) { return load(p); }
  void store(float* p) const { __builtin_memcpy(p, &v, sizeof v); }
  static Vec4 all(float f) { return {Raw{f, f, f, f}}; }
  static Vec4 fma(Vec4 a, Vec4 b, Vec4 c) { return {a.v * b.v + c.v}; }
  static Vec4 mul(Vec4 a, Vec4 b) { return {a.v * b.v}; }
  // Negative numbers become zero; NaN stays.
  static Vec4 relu(Vec4 a) { return {reinterpret_cast<Raw>(~(a.v < Raw{}) & reinterpret_cast<Bits>(a.v))}; }
  template <class Id>
  static Vec4 at(const float* p, const Id* ids) {
    return {Raw{p[ids[0]], p[ids[1]], p[ids[2]], p[ids[3]]}};
  }
  // x where the gate is above zero, else 0.
  static Vec4 where_positive(Vec4 gate, Vec4 x) {
    return {reinterpret_cast<Raw>((gate.v > Raw{}) & reinterpret_cast<Bits>(x.v))};
  }
  static Vec4 add(Vec4 a, Vec4 b) { return {a.v + b.v}; }
  // to[j][i] = from[i][j] for i, j < width.
  static void transpose(const float* from, int64_t from_stride, float* to, int64_t to_stride) {
    Raw r[4];
    for (int i = 0; i < 4; i++) r[i] = load(from + i * from_stride).v;
    const Raw a = shuffle<0, 4, 1, 5>(r[0], r[1]), b = shuffle<2, 6, 3, 7>(r[0], r[1]);
    const Raw c = shuffle<0, 4, 1, 5>(r[2], r[3]), d = shuffle<2, 6, 3, 7>(r[2], r[3]);
    Vec4{shuffle<0, 1, 4, 5>(a, c)}.store(to);
    Vec4{shuffle<2, 3, 6, 7>(a, c)}.store(to + to_stride);
    Vec4{shuffle<0, 1, 4, 5>(b, d)}.store(to + 2 * to_stride);
    Vec4{shuffle<2, 3, 6, 7>(b, d)}.store(to + 3 * to_stride);
  }
  // out[i] = or += the sum of the lanes of s[i].
  static void sum4(const Vec4* s, float* out, bool set) {
    const Raw a = shuffle<0, 4, 1, 5>(s[0].v, s[1].v) + shuffle<2, 6, 3, 7>(s[0].v, s[1].v);
    const Raw b = shuffle<0, 4, 1, 5>(s[2].v, s[3].v) + shuffle<2, 6, 3, 7>(s[2].v, s[3].v);
    Vec4 sum{shuffle<0, 1, 4, 5>(a, b) + shuffle<2, 3, 6, 7>(a, b)};
    if (!set) sum.v = load(out).v + sum.v;
    sum.store(out);
  }
  float sum() const { return (v[0] + v[2]) + (v[1] + v[3]); }

 private:
  template <int A, int B, int C, int D>
  static Raw shuffle(Raw a, Raw b) {
#ifdef __clang__
    return __builtin_shufflevector(a, b, A, B, C, D);
#else
    return __builtin_shuffle(a, b, Bits{A, B, C, D});
#endif
  }
};

}  // namespace
