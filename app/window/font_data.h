/// \file
/// The fonts inside the program: TrueType files, byte by byte. Defined in a source file that the build writes.
#pragma once

#include <span>

namespace convscope {

extern const std::span<const unsigned char> text_font_data;
extern const std::span<const unsigned char> mono_font_data;
extern const std::span<const unsigned char> bold_font_data;

}  // namespace convscope
