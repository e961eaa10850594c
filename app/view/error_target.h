/// \file
/// From a curve of the error against k to the smallest k for a target error. Plain functions.
#pragma once

#include "analysis/error_by_k.h"

#include <optional>
#include <span>
#include <string>

namespace convscope {

using convbasis::Index;
using convbasis::KError;

/// The point of the smallest k whose error is below `target`; null when there is none. `points` ascend in k.
const KError* smallest_k_below(std::span<const KError> points, double target);

/// The point of the smallest error; null without a number among them.
const KError* best_of(std::span<const KError> points);

/// What to compute next: first the ladder from below, then, where a point of it is below the target, the middle between it and
/// the point before, until the two are neighbours. Empty when nothing is left. `points` ascend in k.
///
/// The error need not fall with k, so what is found is the first of the ladder below the target, with the step to it located.
std::optional<Index> next_k(std::span<const KError> points, std::span<const Index> ladder, double target);

/// One line: the smallest k below the target, or that there is none and how near it comes. `complete`: next_k has nothing left.
std::string describe_target(std::span<const KError> points, bool complete, double target);

}  // namespace convscope
