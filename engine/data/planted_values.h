/// \file
/// Values for planted inputs that are too large to be kept: any block of V can be made at any time, from the seed alone.
#pragma once

#include "core/run_context.h"
#include "core/types.h"

#include <cstdint>

namespace convbasis {

/// Sets block(x, y) to V(row + x, column + y). An entry depends on seed, i and j only, so blocks of any shape agree: it is
/// sqrt(3) u with u evenly distributed over the multiples of 2^-52 in [-1, 1), from 64 bits mixed out of the three numbers.
/// Mean 0, variance 1; float entries are the double ones, rounded. row, column >= 0; i and j stay below 2^32.
/// Cost: about a nanosecond an entry and thread. Throws InvalidArgument for positions out of range, Cancelled.
template <Real T>
void make_values(std::uint64_t seed, Index row, Index column, MutableMatrixView<T> block, const RunContext& context = {});

}  // namespace convbasis
