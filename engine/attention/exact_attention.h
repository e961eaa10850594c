/// \file
/// Exact causal attention, streamed: no n x n matrix is made. Mathematics page, section 1.
#pragma once

#include "attention/head.h"
#include "core/run_context.h"

#include <span>
#include <string>

namespace convbasis {

/// output = softmax(scale Q K^T, causal) V, and lse[i] = log sum_{j<=i} exp(S_ij).
///
/// Blocks of keys are streamed past blocks of queries. A row whose scores cannot be large, because |Q_i| times the longest key is
/// below 44 (float; 346 in double), needs no running maximum; the others are shifted by theirs (online softmax).
/// Shapes: `output` n x d_v, `lse` n. Cost: n^2 (d + d_v) multiply-adds over the triangle; scratch of some hundred rows of d +
/// d_v numbers a thread, and n numbers. Accuracy: products and sums in T, so a few units of T's rounding times the largest
/// |score|; exponentials to 2 units. Weights may reach 2^64 (2^500 in double), so |V| n must stay that far below T's largest
/// number. Thread-safe; the result does not depend on the number of threads. In float the context's accelerator does it where it
/// can, in an order of its own: results then differ by rounding. Throws InvalidArgument for shapes that do not fit,
/// Cancelled on a stop request (output is then unspecified).
template <Real T>
void exact_attention(const HeadView<T>& head, MutableMatrixView<T> output, std::span<double> lse, const RunContext& context = {});

/// Where the result of one head goes: the arguments of the function above.
template <Real T>
struct ExactOutput {
  MutableMatrixView<T> output;
  std::span<double> lse;
};

/// The same for several heads at once, of any shapes, which keeps all threads busy when the heads are small.
/// results[h] is that of heads[h], bit for bit what the head alone gives.
template <Real T>
void exact_attention(std::span<const HeadView<T>> heads, std::span<const ExactOutput<T>> results, const RunContext& context = {});

/// The instruction set that the kernels run with on this machine, as "AVX-512", "AVX2", "SSE4" or Highway's name of
/// any other.
std::string kernel_instruction_set();

}  // namespace convbasis
