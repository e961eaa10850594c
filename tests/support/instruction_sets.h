/// \file
/// Runs a test body with every instruction set of this machine that the kernels are compiled for, not only the best one, so that
/// the code for older machines is tested on newer ones.
#pragma once

#include "attention/exact_attention.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cstdint>
#include <initializer_list>

namespace convbasis::testing_inputs {

/// The last one tried is what the compiler may use everywhere. `body()` must not leave threads running. The best set is chosen
/// again at the end. Not thread-safe.
template <class Body>
void for_each_instruction_set(Body&& body) {
  const auto choose = [](std::int64_t targets) {
    hwy::SetSupportedTargetsForTest(targets);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  };
  choose(0);
  const std::int64_t supported = hwy::SupportedTargets();
  for (const std::int64_t target : std::initializer_list<std::int64_t>{HWY_AVX3, HWY_AVX2, HWY_SSE4, HWY_STATIC_TARGET}) {
    if ((supported & target) == 0) continue;
    choose(target);
    SCOPED_TRACE(kernel_instruction_set());
    body();
  }
  choose(0);
}

}  // namespace convbasis::testing_inputs
