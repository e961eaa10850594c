/// \file
/// Floats that are half-precision numbers, as such.
#pragma once

#include "core/run_context.h"
#include "core/types.h"

#include <cstdint>
#include <vector>

namespace convbasis {

/// The bits of IEEE half-precision numbers, row after row without gaps: those of `matrix` if each of its numbers is one, else
/// nothing. NaN and infinities are none. Cost: about a nanosecond a number on each thread; ends at the first rows with a number
/// that is none. Throws Cancelled.
std::vector<std::uint16_t> exact_halves(MatrixView<float> matrix, const RunContext& context = {});

}  // namespace convbasis
