/// \file
/// The ways in which every test of a kernel runs it.
#pragma once

#include "cuda_host/grid.h"
#include "cuda_host/runtime.h"

#include <gtest/gtest.h>

#include <string>

namespace cuda_host {

/// Calls check() with threads and blocks in ascending, descending and two random orders, streams eager and lazy.
template <class Check>
void for_each_schedule(const Check& check) {
  struct Way {
    Schedule schedule;
    Streams streams;
    const char* name;
  };
  for (const Way& way :
       {Way{{Order::ascending, 1}, Streams::eager, "ascending"}, Way{{Order::descending, 1}, Streams::lazy, "descending"},
        Way{{Order::random, 1}, Streams::lazy, "random 1"}, Way{{Order::random, 2}, Streams::eager, "random 2"}}) {
    const testing::ScopedTrace trace(__FILE__, __LINE__, std::string("threads in order: ") + way.name);
    set_schedule(way.schedule);
    set_streams(way.streams);
    check();
  }
  set_schedule({});
  set_streams(Streams::eager);
}

}  // namespace cuda_host
