/// \file
/// Waiting for what another thread does.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace convscope {

/// Asks done() until it says yes; a fatal failure if it does not within two minutes.
template <class Condition>
void wait_until(const Condition& done) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(2);
  while (!done()) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "it did not get there";
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace convscope
