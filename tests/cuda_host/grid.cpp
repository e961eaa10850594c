#include "cuda_host/grid.h"

#include "cuda_host/fiber.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

namespace cuda_host {
namespace {

constexpr unsigned warp_size = 32;
constexpr std::size_t most_threads = 1024;
constexpr std::size_t most_shared = std::size_t{48} << 10;  // of a block, in arrays of fixed size
constexpr std::size_t guard_bytes = 64;
constexpr unsigned char poison = 0xFF;  // NaN as a floating number of any size, -1 as an integer

enum class State { ready, at_barrier, at_warp, done };

/// One thread of the block.
struct Thread {
  Fiber fiber;
  Position position;
  std::size_t index = 0;  // in the block
  State state = State::done;
  std::source_location where;
  std::array<std::array<unsigned char, 16>, 2> slots{};  // of the warp operations, in turn
  unsigned turn = 0;
};

/// An array with guards before and behind, so that small steps out of it are found without a sanitizer, too.
class SharedMemory {
 public:
  explicit SharedMemory(std::size_t bytes) : bytes_(bytes), memory_(bytes + 2 * guard_bytes + alignment) {
    void* first = memory_.data() + guard_bytes;
    std::size_t room = memory_.size() - guard_bytes;
    array_ = static_cast<unsigned char*>(std::align(alignment, bytes, first, room));
    std::memset(memory_.data(), guard, memory_.size());
    std::memset(array_, poison, bytes_);
  }
  void* array() { return array_; }
  std::size_t bytes() const { return bytes_; }
  bool intact() const {
    const auto is_guard = [](unsigned char byte) { return byte == guard; };
    return std::all_of(memory_.data(), static_cast<const unsigned char*>(array_), is_guard) &&
           std::all_of(static_cast<const unsigned char*>(array_) + bytes_, memory_.data() + memory_.size(), is_guard);
  }

 private:
  static constexpr std::size_t alignment = 128;
  static constexpr unsigned char guard = 0xA5;
  std::size_t bytes_;
  std::vector<unsigned char> memory_;
  unsigned char* array_ = nullptr;
};

struct Machine {
  Schedule schedule;
  bool throwing = false;
  std::uint64_t switches = 0;
  std::deque<Thread> threads;  // fibers do not move
  Thread* running = nullptr;
  Dim3 grid, block;
  Position block_position;
  const std::function<void()>* body = nullptr;
  std::map<const void*, SharedMemory> shared;
};

Machine& machine() {
  static thread_local Machine instance;
  return instance;
}

[[noreturn]] void fault(const std::string& what) {
  const Position& at = machine().block_position;
  const std::string text =
      "kernel fault in block (" + std::to_string(at.x) + ", " + std::to_string(at.y) + ", " + std::to_string(at.z) + "): " + what;
  if (machine().throwing) throw KernelFault(text);
  std::fprintf(stderr, "%s\n", text.c_str());
  std::abort();
}

std::string place(const std::source_location& where) {
  return std::string(where.file_name()) + ":" + std::to_string(where.line());
}

bool same_place(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && a.column() == b.column() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

/// 0 ... count - 1 in the order of the schedule.
std::vector<std::size_t> ordered(std::size_t count, std::mt19937_64& random) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (machine().schedule.order == Order::descending) std::reverse(order.begin(), order.end());
  if (machine().schedule.order == Order::random) std::shuffle(order.begin(), order.end(), random);
  return order;
}

void run_thread(void*) { (*machine().body)(); }

std::string census(std::size_t count) {
  std::array<std::size_t, 4> found{};
  std::string first_barrier, first_warp;
  for (std::size_t i = 0; i < count; ++i) {
    const Thread& thread = machine().threads[i];
    ++found[static_cast<std::size_t>(thread.state)];
    if (thread.state == State::at_barrier && first_barrier.empty()) first_barrier = " (" + place(thread.where) + ")";
    if (thread.state == State::at_warp && first_warp.empty()) first_warp = " (" + place(thread.where) + ")";
  }
  return "of " + std::to_string(count) + " threads " + std::to_string(found[1]) + " wait at a barrier" + first_barrier + ", " +
         std::to_string(found[2]) + " at a warp operation" + first_warp + ", " + std::to_string(found[3]) + " have ended";
}

/// Lets a warp go on if all its lanes have come to the same warp operation.
void release_warp(std::size_t first) {
  for (std::size_t i = first; i < first + warp_size; ++i) {
    if (machine().threads[i].state != State::at_warp) return;
  }
  for (std::size_t i = first; i < first + warp_size; ++i) {
    Thread& thread = machine().threads[i];
    if (!same_place(thread.where, machine().threads[first].where)) {
      fault("lanes of a warp are at different warp operations, " + place(machine().threads[first].where) + " and " +
            place(thread.where));
    }
    thread.state = State::ready;
  }
}

bool can_run(std::size_t first) {
  const auto begin = machine().threads.begin() + static_cast<std::ptrdiff_t>(first);
  return std::any_of(begin, begin + warp_size, [](const Thread& thread) { return thread.state == State::ready; });
}

/// The first thread of the warp that runs next: by the schedule the first or the last that can, which then runs as far as it gets
/// before another does, or any. `count` when none can.
std::size_t next_warp(std::size_t count, std::mt19937_64& random) {
  std::vector<std::size_t> able;
  for (std::size_t first = 0; first < count; first += warp_size) {
    if (can_run(first)) able.push_back(first);
  }
  if (able.empty()) return count;
  if (machine().schedule.order == Order::ascending) return able.front();
  if (machine().schedule.order == Order::descending) return able.back();
  return able[random() % able.size()];
}

/// Runs the threads of a warp until each waits or has ended.
void run_warp(std::size_t first, std::mt19937_64& random) {
  Machine& self = machine();
  for (const std::size_t lane : ordered(warp_size, random)) {
    Thread& thread = self.threads[first + lane];
    if (thread.state != State::ready) continue;
    self.running = &thread;
    ++self.switches;
    thread.fiber.resume();
    if (thread.fiber.done()) thread.state = State::done;
  }
  release_warp(first);
}

/// Lets the block go on if all its threads have come to the same barrier.
bool release_barrier(std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (machine().threads[i].state != State::at_barrier) return false;
    if (!same_place(machine().threads[i].where, machine().threads[0].where)) {
      fault("threads are at different barriers, " + place(machine().threads[0].where) + " and " +
            place(machine().threads[i].where));
    }
  }
  for (std::size_t i = 0; i < count; ++i) machine().threads[i].state = State::ready;
  return true;
}

void check_shared_memory() {
  std::size_t bytes = 0;
  for (const auto& [site, array] : machine().shared) {
    bytes += array.bytes();
    if (!array.intact()) fault("a shared array of " + std::to_string(array.bytes()) + " bytes was written outside of its bounds");
  }
  if (bytes > most_shared)
    fault(std::to_string(bytes) + " bytes of shared memory; a block has at most " + std::to_string(most_shared));
}

void run_block(std::size_t count, std::mt19937_64& random) {
  Machine& self = machine();
  self.shared.clear();
  for (std::size_t i = 0; i < count; ++i) {
    Thread& thread = self.threads[i];
    const auto x = static_cast<unsigned>(i);
    thread.position = {x % self.block.x, x / self.block.x % self.block.y, x / (self.block.x * self.block.y)};
    thread.index = i;
    thread.turn = 0;
    thread.state = State::ready;
    thread.fiber.start(&run_thread, nullptr);
  }
  for (;;) {
    const std::size_t warp = next_warp(count, random);
    if (warp < count) {
      run_warp(warp, random);
      continue;
    }
    if (release_barrier(count)) continue;
    const auto is_done = [](const Thread& thread) { return thread.state == State::done; };
    if (std::all_of(self.threads.begin(), self.threads.begin() + static_cast<std::ptrdiff_t>(count), is_done)) break;
    fault("threads wait for others that never come: " + census(count));
  }
  check_shared_memory();
}

/// Stops the running thread until its warp or block lets it go on.
void wait_as(State state, const std::source_location& where) {
  Thread& thread = *machine().running;
  thread.state = state;
  thread.where = where;
  Fiber::yield();
}

/// The thread that is lane `lane` of the warp of `own`.
const Thread& warp_thread(const Thread& own, unsigned lane) {
  return machine().threads[own.index / warp_size * warp_size + lane % warp_size];
}

void require_full_mask(unsigned mask, const std::source_location& where) {
  if (mask != 0xFFFFFFFFU) broken_contract("a warp operation has a mask that leaves lanes out", where);
}

}  // namespace

/// A fault inside a fiber must not unwind it, so it is not thrown.
void broken_contract(const char* what, const std::source_location& where) {
  std::fprintf(stderr, "kernel fault: %s, at %s\n", what, place(where).c_str());
  std::abort();
}

void set_schedule(const Schedule& schedule) { machine().schedule = schedule; }
void throw_faults(bool wanted) { machine().throwing = wanted; }
std::uint64_t switch_count() { return machine().switches; }

void run_grid(const Dim3& grid, const Dim3& block, const std::function<void()>& body) {
  Machine& self = machine();
  self.block_position = {};
  const std::size_t count = block.count();
  constexpr unsigned most_high = 65535;  // blocks along y, and along z
  if (count == 0 || count > most_threads || grid.count() == 0 || grid.y > most_high || grid.z > most_high) {
    fault("a launch of an impossible size");
  }
  if (count % warp_size != 0) fault("a block of " + std::to_string(count) + " threads; kernels here use whole warps");
  while (self.threads.size() < count) self.threads.emplace_back();
  self.grid = grid;
  self.block = block;
  self.body = &body;
  std::mt19937_64 random(self.schedule.seed);
  for (const std::size_t b : ordered(grid.count(), random)) {
    const auto x = static_cast<unsigned>(b % grid.x);
    const auto rest = b / grid.x;
    self.block_position = {x, static_cast<unsigned>(rest % grid.y), static_cast<unsigned>(rest / grid.y)};
    run_block(count, random);
  }
}

const Position& thread_position() { return machine().running->position; }
const Position& block_position() { return machine().block_position; }
const Dim3& block_size() { return machine().block; }
const Dim3& grid_size() { return machine().grid; }

unsigned lane() { return static_cast<unsigned>(machine().running->index % warp_size); }

void synchronise_block(std::source_location where) { wait_as(State::at_barrier, where); }

void synchronise_warp(unsigned mask, std::source_location where) {
  require_full_mask(mask, where);
  wait_as(State::at_warp, where);
}

void exchange(unsigned mask, const void* value, std::size_t bytes, unsigned source, void* result, std::source_location where) {
  require_full_mask(mask, where);
  Thread& own = *machine().running;
  // Two slots in turn: a lane comes to the next operation but one only after all lanes have read this one's values.
  const unsigned turn = own.turn++ % 2;
  std::memcpy(own.slots[turn].data(), value, bytes);
  wait_as(State::at_warp, where);
  std::memcpy(result, warp_thread(own, source).slots[turn].data(), bytes);
}

unsigned ballot(unsigned mask, bool predicate, std::source_location where) {
  require_full_mask(mask, where);
  Thread& own = *machine().running;
  const unsigned turn = own.turn++ % 2;
  own.slots[turn][0] = predicate ? 1 : 0;
  wait_as(State::at_warp, where);
  unsigned bits = 0;
  for (unsigned i = 0; i < warp_size; ++i) {
    if (warp_thread(own, i).slots[turn][0] != 0) bits |= 1U << i;
  }
  return bits;
}

void* shared_array(const void* site, std::size_t bytes) {
  return machine().shared.try_emplace(site, bytes).first->second.array();
}

}  // namespace cuda_host
