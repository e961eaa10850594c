/// \file
/// What tests ask of the CUDA runtime on the CPU: failures at chosen calls, machines without a GPU, and what was left behind.
#pragma once

#include <cstddef>
#include <map>
#include <string>

namespace cuda_host {

/// How the machine answers. `devices` 0: no device; `driver` false: none is installed.
struct FakeMachine {
  bool driver = true;
  int devices = 1;
  int major = 9, minor = 0;
  std::size_t memory = std::size_t{2} << 30;  ///< of each device
};
void set_machine(const FakeMachine& machine);

/// When work on streams is done: at once, or as late as a wait for it allows. A result that is right only eagerly lacks a wait.
enum class Streams { eager, lazy };
void set_streams(Streams streams);

/// The `number`-th call that can fail from now on (1 is the next) does fail, once. 0: none.
void fail_call(long number);
/// Calls that could have failed since the last fail_call(), and the name of the one that did; empty if none has.
long calls_made();
std::string failed_call();

/// Device and pinned memory, streams, events, FFT plans that nobody has given back.
struct Leftovers {
  std::size_t allocations = 0, bytes = 0, streams = 0, events = 0, plans = 0;
  bool none() const { return allocations + streams + events + plans == 0; }
};
Leftovers leftovers();
/// The most device memory that was taken at once since the last call.
std::size_t take_peak_bytes();
/// Calls that could have failed since the last time, by name; launches go by the name of the kernel.
std::map<std::string, long> take_calls();

}  // namespace cuda_host
