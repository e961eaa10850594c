/// \file
/// Stackful fibers: what stands for the threads of a CUDA block when kernels run on the CPU. A switch is a few dozen instructions
/// written by hand; the C library's swapcontext makes a system call each time and takes seventy times as long.
#pragma once

#include <cstddef>

namespace cuda_host {

/// One fiber with a stack of its own, which ends in a page that must not be touched. Runs on the OS thread that resumes it.
class Fiber {
 public:
  static constexpr std::size_t stack_size = std::size_t{256} << 10;

  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Makes the fiber ready to run entry(argument) from the beginning. What it was doing is forgotten, without destructors.
  void start(void (*entry)(void*), void* argument);
  /// Runs the fiber until it yields or ends. Not from inside a fiber.
  void resume();
  /// Back to who resumed the running fiber.
  static void yield();
  bool done() const { return done_; }

 private:
  static void trampoline();
  void enter();
  void leave();

  std::byte* memory_;  // guard page, then the stack
  void* stack_pointer_ = nullptr;
  void* resumer_ = nullptr;
  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
  bool done_ = true;
  void* fake_stack_ = nullptr;  // these are AddressSanitizer's
  const void* resumer_stack_ = nullptr;
  std::size_t resumer_stack_size_ = 0;
};

}  // namespace cuda_host
