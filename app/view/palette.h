/// \file
/// One colour for one thing everywhere: title dot, curve, map frame. The hues are Okabe and Ito's eight, chosen so that
/// people with any common colour vision tell them apart.
#pragma once

#include <cstdint>

namespace convscope {

/// A colour in sRGB, each part in [0, 1].
struct Rgb {
  float r = 0.0F, g = 0.0F, b = 0.0F;
  bool operator==(const Rgb&) const = default;
};

/// What a colour stands for.
enum class Subject : std::uint8_t { exact, conv, conv_full, rank, residual, gpu, estimate };

/// The colour of `subject`. Exact is the set's black, which on a dark surface turns into a light grey.
Rgb colour_of(Subject subject, bool dark);

/// Relative luminance of an sRGB colour (WCAG 2), 0 for black, 1 for white: says whether black or white text is readable on it.
double luminance(Rgb colour);

}  // namespace convscope
