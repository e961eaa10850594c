/// \file
/// Small helpers for text and sizes that come out of files which may be damaged or hostile.
#pragma once

#include "core/types.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace convbasis {

/// `text` in quotes for a one-line message: control characters and bytes outside ASCII shown as '?', cut after 80 characters.
std::string in_quotes(std::string_view text);

/// "(9, 256, 64)"; cut after 8 axes.
std::string shape_text(std::span<const Index> shape);

/// a + b, or nothing when it does not fit.
std::optional<std::uint64_t> checked_sum(std::uint64_t a, std::uint64_t b);

/// a * b, or nothing when it does not fit.
std::optional<std::uint64_t> checked_product(std::uint64_t a, std::uint64_t b);

/// Bytes of a tensor of this shape, or nothing when the product of its axes does not fit an Index. Zero axes do not hide an
/// overflow of the others, so any partial product of the axes may be formed afterwards. Axes must not be negative.
std::optional<std::uint64_t> checked_bytes(std::span<const Index> shape, std::size_t element_bytes);

}  // namespace convbasis
