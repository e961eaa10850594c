#include "cuda_host/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// cuda_host_switch(save, load): keeps what the callee must keep on the stack, stores the stack pointer in *save, continues at
// load.
#if defined(__x86_64__)
asm(R"(
.text
.globl cuda_host_switch
.type cuda_host_switch,@function
cuda_host_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size cuda_host_switch,.-cuda_host_switch
)");
#elif defined(__aarch64__)
asm(R"(
.text
.globl cuda_host_switch
.type cuda_host_switch,%function
cuda_host_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size cuda_host_switch,.-cuda_host_switch
)");
#else
#error "kernels run on the CPU only where fibers have a stack switch: x86-64 and aarch64"
#endif
extern "C" void cuda_host_switch(void** save, void* load);

namespace cuda_host {
namespace {

thread_local Fiber* running = nullptr;

std::size_t page_size() {
  static const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

#if defined(__x86_64__)
constexpr std::size_t saved_words = 6;  // below the return address
#else
constexpr std::size_t saved_words = 20;
#endif

}  // namespace

Fiber::Fiber() {
  void* memory =
      mmap(nullptr, page_size() + stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<std::byte*>(memory);
  mprotect(memory_, page_size(), PROT_NONE);
}

Fiber::~Fiber() { munmap(memory_, page_size() + stack_size); }

void Fiber::start(void (*entry)(void*), void* argument) {
  entry_ = entry;
  argument_ = argument;
  done_ = false;
#ifdef __SANITIZE_ADDRESS__
  // Frames that were left without return keep their red zones.
  ASAN_UNPOISON_MEMORY_REGION(memory_ + page_size(), stack_size);
  fake_stack_ = nullptr;
#endif
  auto* top = reinterpret_cast<std::uintptr_t*>(memory_ + page_size() + stack_size);  // a multiple of 16
#if defined(__x86_64__)
  top -= 2;  // at the trampoline's first instruction the stack lies 8 bytes off a multiple of 16, as after a call
  top[0] = reinterpret_cast<std::uintptr_t>(&Fiber::trampoline);
  top[1] = 0;
  top -= saved_words;
#else
  top -= saved_words;
  top[11] = reinterpret_cast<std::uintptr_t>(&Fiber::trampoline);  // x30
#endif
  stack_pointer_ = top;
}

/// Before the first instruction on the fiber's stack after a switch to it.
void Fiber::enter() {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fake_stack_, &resumer_stack_, &resumer_stack_size_);
#endif
}

/// Back to the resumer; returns when the fiber is resumed, and never once it is done.
void Fiber::leave() {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(done_ ? nullptr : &fake_stack_, resumer_stack_, resumer_stack_size_);
#endif
  cuda_host_switch(&stack_pointer_, resumer_);
  enter();
}

void Fiber::trampoline() {
  Fiber* self = running;
  self->enter();
  self->entry_(self->argument_);
  self->done_ = true;
  self->leave();
}

void Fiber::resume() {
  running = this;
#ifdef __SANITIZE_ADDRESS__
  void* own_fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&own_fake_stack, memory_ + page_size(), stack_size);
#endif
  cuda_host_switch(&resumer_, stack_pointer_);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(own_fake_stack, nullptr, nullptr);
#endif
  running = nullptr;
}

void Fiber::yield() { running->leave(); }

}  // namespace cuda_host
