/// \file
/// Runs a CUDA kernel's own source on the CPU: a block's threads are fibers on one OS thread, blocks run one after the other.
///
/// What it finds: a barrier or warp operation that not all threads reach, or at different lines; a missing barrier, because
/// shared memory holds NaN at the start of every block and threads run in orders that a test chooses; an index out of a shared
/// array. What it cannot find: races between blocks that no order of whole blocks shows, the memory model, registers and
/// occupancy, and faults of alignment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <stdexcept>
#include <string>

namespace cuda_host {

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
  Dim3(unsigned all_x = 1, unsigned all_y = 1, unsigned all_z = 1) : x(all_x), y(all_y), z(all_z) {}
  std::size_t count() const { return std::size_t{x} * y * z; }
};

struct Position {
  unsigned x = 0, y = 0, z = 0;
};

/// In which order threads run between barriers, and blocks after each other. Of several warps that can run, the first or the last
/// one runs up to its barrier before another does, or any one up to its next warp operation.
enum class Order { ascending, descending, random };
struct Schedule {
  Order order = Order::ascending;
  std::uint64_t seed = 1;
};
/// For all launches that follow.
void set_schedule(const Schedule& schedule);

/// A kernel that broke the rules. Fatal (one line on standard error, then abort), unless a test of the rules asks for the throw.
class KernelFault : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};
void throw_faults(bool wanted);

/// Runs `body` once for each thread of each block. Throws KernelFault only if throw_faults(true).
void run_grid(const Dim3& grid, const Dim3& block, const std::function<void()>& body);

/// How often a fiber was resumed, in all launches so far.
std::uint64_t switch_count();

// What a kernel sees, from inside run_grid().

const Position& thread_position();
const Position& block_position();
const Dim3& block_size();
const Dim3& grid_size();

void synchronise_block(std::source_location where);
/// All 32 lanes of the warp must come here at the same line. Gives lane `source` 's value, of at most 16 bytes, into result.
void exchange(unsigned mask, const void* value, std::size_t bytes, unsigned source, void* result, std::source_location where);
/// Bit i is set if lane i's predicate holds.
unsigned ballot(unsigned mask, bool predicate, std::source_location where);
void synchronise_warp(unsigned mask, std::source_location where);
unsigned lane();
/// One line on standard error, then abort: for what a kernel asks of a function against its contract.
[[noreturn]] void broken_contract(const char* what, const std::source_location& where);

/// The block's array for the declaration that `site` is an address of: the same for all threads, NaN at first.
void* shared_array(const void* site, std::size_t bytes);

}  // namespace cuda_host
