// Half-precision floats to float32 and back, rounding to nearest even.
#pragma once

namespace {

inline float from_bits(uint32_t bits) {
  float f;
  __builtin_memcpy(&f, &bits, sizeof f);
  return f;
}

inline uint32_t to_bits(float f) {
  uint32_t bits;
  __builtin_memcpy(&bits, &f, sizeof f);
  return bits;
}

struct Float32 {
  typedef float Stored;
  static float read(float f) { return f; }
  static float write(float f) { return f; }
};

struct BFloat16 {
  typedef uint16_t Stored;
  static float read(uint16_t h) { return from_bits(static_cast<uint32_t>(h) << 16); }
  static uint16_t write(float f) {
    const uint32_t bits = to_bits(f);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);  // a quiet NaN
    return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
  }
};

struct Float16 {
  typedef uint16_t Stored;
  static float read(uint16_t h) {
    const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16, magnitude = h & 0x7fffu;
    if (magnitude >= 0x7c00u) return from_bits(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
    if (magnitude >= 0x0400u) return from_bits(sign | ((magnitude << 13) + (112u << 23)));
    // Subnormal: a multiple of 2^-24, exact, and normal as a float32.
    const float f = static_cast<float>(static_cast<int32_t>(magnitude)) * 5.9604644775390625e-8f;
    return sign ? -f : f;
  }
  static uint16_t write(float f) {
    const uint32_t bits = to_bits(f), sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);   // NaN
    if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // from 65520 on: infinity
    if (magnitude >= 0x38800000u) {
      const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u) - (112u << 23);
      return static_cast<uint16_t>(sign | (rounded >> 13));
    }
    // Subnormal: the last bit of 0.5 is 2^-24, that of a subnormal, so the addition rounds as wanted.
    return static_cast<uint16_t>(sign | (to_bits(from_bits(magnitude) + 0.5f) - to_bits(0.5f)));
  }
};

}  // namespace
