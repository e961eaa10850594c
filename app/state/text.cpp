#include "state/text.h"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace convscope {

namespace {

/// Marks that stand for something else in a token: byte-level tokenizers write a space as U+0120 and a line break as U+010A,
/// SentencePiece writes a space as U+2581.
constexpr std::array<std::pair<std::string_view, std::string_view>, 6> token_marks{
    {{"\xC4\xA0", " "}, {"\xC4\x8A", "\\n"}, {"\xE2\x96\x81", " "}, {"\n", "\\n"}, {"\r", "\\r"}, {"\t", "\\t"}}};

bool continues_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; }

}  // namespace

std::string seconds_text(double seconds) {
  if (seconds >= 0.1) return fmt::format("{:.2f} s", seconds);
  if (seconds >= 0.01) return fmt::format("{:.0f} ms", seconds * 1e3);
  if (seconds >= 0.001) return fmt::format("{:.1f} ms", seconds * 1e3);
  return fmt::format("{:.0f} us", seconds * 1e6);
}

std::string token_text(std::string_view token, std::size_t longest) {
  std::string text;
  std::size_t characters = 0;
  while (!token.empty()) {
    if (!continues_character(token.front()) && characters++ == longest) return text + "\xE2\x80\xA6";
    std::size_t used = 1;
    std::string_view written = token.substr(0, 1);
    for (const auto& [mark, meaning] : token_marks) {
      if (!token.starts_with(mark)) continue;
      used = mark.size();
      written = meaning;
    }
    text += written;
    token.remove_prefix(used);
  }
  return text;
}

}  // namespace convscope
