#include "data/untrusted.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

namespace convbasis {

std::string in_quotes(std::string_view text) {
  constexpr std::size_t longest = 80;
  std::string result = "\"";
  for (const char c : text.substr(0, longest)) result += c >= ' ' && c <= '~' ? c : '?';
  if (text.size() > longest) result += "...";
  return result + '"';
}

std::string shape_text(std::span<const Index> shape) {
  constexpr std::size_t longest = 8;
  return fmt::format("({}{})", fmt::join(shape.first(std::min(shape.size(), longest)), ", "),
                     shape.size() > longest ? ", ..." : "");
}

std::optional<std::uint64_t> checked_sum(std::uint64_t a, std::uint64_t b) {
  if (a > std::numeric_limits<std::uint64_t>::max() - b) return std::nullopt;
  return a + b;
}

std::optional<std::uint64_t> checked_product(std::uint64_t a, std::uint64_t b) {
  if (b != 0 && a > std::numeric_limits<std::uint64_t>::max() / b) return std::nullopt;
  return a * b;
}

std::optional<std::uint64_t> checked_bytes(std::span<const Index> shape, std::size_t element_bytes) {
  constexpr auto largest = static_cast<std::uint64_t>(std::numeric_limits<Index>::max());
  std::uint64_t bytes = element_bytes;
  bool empty = false;
  for (const Index axis : shape) {
    empty = empty || axis == 0;
    const auto product = checked_product(bytes, static_cast<std::uint64_t>(std::max<Index>(axis, 1)));
    if (!product || *product > largest) return std::nullopt;
    bytes = *product;
  }
  return empty ? 0 : bytes;
}

}  // namespace convbasis
