/// \file
/// Times and tokens as the window writes them (numbers: short_number in view/ticks.h).
#pragma once

#include <string>
#include <string_view>

namespace convscope {

/// "0.41 s", "12 ms", "37 us".
std::string seconds_text(double seconds);
/// A token on one line: line breaks and tabs written out, the tokenizers' marks for a leading space as a space, cut to `longest`
/// characters (not bytes) with an ellipsis.
std::string token_text(std::string_view token, std::size_t longest = 24);

}  // namespace convscope
