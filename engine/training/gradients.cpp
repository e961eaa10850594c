#include "training/gradients.h"

#include "core/errors.h"
#include "core/stopwatch.h"
#include "data/planted.h"

#include <fmt/format.h>

#include <utility>

namespace convbasis {
namespace {

template <Real T>
void require_fitting(const HeadView<T>& head, const MatrixView<T>& output_gradient, std::span<const Backward> wanted) {
  require_valid(head);
  if (head.matrix) throw InvalidArgument("a head that is given by its scores has no queries and keys to take gradients by");
  if (wanted.empty()) throw InvalidArgument("no backward pass is wanted; name exact, estimate or conv");
  if (output_gradient.rows() != head.size() || output_gradient.cols() != head.value_width()) {
    throw InvalidArgument(fmt::format("output gradient is {} x {}; it must be {} x {}", output_gradient.rows(),
                                      output_gradient.cols(), head.size(), head.value_width()));
  }
}

template <Real T>
GradientsByOneWay<T> one_way(Backward backward, GradientMatrices<T> gradients, double forward_seconds, double backward_seconds) {
  GradientsByOneWay<T> way;
  way.backward = backward;
  way.query = std::move(gradients.query);
  way.key = std::move(gradients.key);
  way.value = std::move(gradients.value);
  way.forward_seconds = forward_seconds;
  way.backward_seconds = backward_seconds;
  return way;
}

/// The wanted ways that follow the conv forward.
template <Real T>
void add_conv_ways(const HeadView<T>& head, const RecoverOptions& options, std::span<const Backward> wanted,
                   GradientComparison<T>& comparison, const RunContext& context) {
  Stopwatch watch;
  const ConvForward<T> forward = conv_forward(head, recover<T>(HeadScores<T>(head), options, context).basis, context);
  const double forward_seconds = watch.lap();
  comparison.k_found = forward.basis.count();
  comparison.starts.assign(forward.basis.starts().begin(), forward.basis.starts().end());
  for (const Backward backward : wanted) {
    if (backward == Backward::exact) continue;
    watch.lap();
    GradientMatrices<T> gradients = conv_gradients(head, forward, backward, view(comparison.output_gradient), context);
    comparison.ways.push_back(one_way(backward, std::move(gradients), forward_seconds, watch.lap()));
  }
}

template <Real T>
void set_errors(std::vector<GradientsByOneWay<T>>& ways) {
  const GradientsByOneWay<T>& exact = ways.front();
  if (exact.backward != Backward::exact) return;
  for (GradientsByOneWay<T>& way : ways) {
    way.query_error = relative_difference(way.query, exact.query);
    way.key_error = relative_difference(way.key, exact.key);
    way.value_error = relative_difference(way.value, exact.value);
  }
}

}  // namespace

template <Real T>
GradientComparison<T> compare_gradients(const HeadView<T>& head, const RecoverOptions& options, MatrixView<T> output_gradient,
                                        std::span<const Backward> wanted, const RunContext& context) {
  require_fitting(head, output_gradient, wanted);
  const std::vector<Backward> ways = in_order(wanted);
  GradientComparison<T> comparison;
  comparison.output_gradient = output_gradient;
  if (ways.front() == Backward::exact) {
    Stopwatch watch;
    const ExactForward<T> forward = exact_forward(head, context);
    const double forward_seconds = watch.lap();
    GradientMatrices<T> gradients = exact_gradients(head, forward, output_gradient, context);
    comparison.ways.push_back(one_way(Backward::exact, std::move(gradients), forward_seconds, watch.lap()));
  }
  if (ways.back() != Backward::exact) add_conv_ways(head, options, ways, comparison, context);
  set_errors(comparison.ways);
  return comparison;
}

template <Real T>
Matrix<T> random_output_gradient(Index n, Index value_width, std::uint64_t seed) {
  // Not the numbers that a planted head of the same seed is made of.
  constexpr std::uint64_t other_stream = 0xd1b54a32d192ed03;
  return make_random_head<T>(n, 1, value_width, seed ^ other_stream).value;
}

template GradientComparison<float> compare_gradients(const HeadView<float>&, const RecoverOptions&, MatrixView<float>,
                                                     std::span<const Backward>, const RunContext&);
template GradientComparison<double> compare_gradients(const HeadView<double>&, const RecoverOptions&, MatrixView<double>,
                                                      std::span<const Backward>, const RunContext&);
template Matrix<float> random_output_gradient(Index, Index, std::uint64_t);
template Matrix<double> random_output_gradient(Index, Index, std::uint64_t);

}  // namespace convbasis
