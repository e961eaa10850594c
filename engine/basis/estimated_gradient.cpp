#include "basis/conv_backward.h"

#include "core/aligned.h"
#include "core/threads.h"

#include <algorithm>

namespace convbasis {
namespace {

constexpr Index rows_at_once = 256;

/// body(first, count) for all rows, some at a time.
template <class Body>
void for_rows(Index n, const RunContext& context, const Body& body) {
  parallel_for(context, (n + rows_at_once - 1) / rows_at_once,
               [&](Index item, int) { body(item * rows_at_once, std::min(rows_at_once, n - item * rows_at_once)); });
}

/// target += scale * sum_c diag(after_c) M diag(before_c) matrix, with M = P~ or its transpose. The products of several c stand
/// side by side, so that thin matrices too fill the groups of columns that the plan works on.
template <Real T>
class ChannelProducts {
 public:
  ChannelProducts(const ConvAttentionPlan<T>& plan, Index width)
      : plan_(plan), width_(width), together_(std::max<Index>(1, 64 / width)) {}

  void add(bool transpose, MatrixView<T> before, MatrixView<T> matrix, MatrixView<T> after, T scale, MutableMatrixView<T> target,
           const RunContext& context) const {
    const Index n = matrix.rows();
    // Fresh memory for every product would cost a good part of it.
    Scratch<T> in_memory(static_cast<std::size_t>(n * together_ * width_));
    Scratch<T> out_memory(in_memory.size());
    for (Index first = 0; first < before.cols(); first += together_) {
      const Index count = std::min(together_, before.cols() - first);
      const Eigen::OuterStride<> stride(count * width_);
      MutableMatrixView<T> in(in_memory.data(), n, count * width_, stride);
      MutableMatrixView<T> out(out_memory.data(), n, count * width_, stride);
      const MatrixView<T> input(in_memory.data(), n, count * width_, stride);
      for_rows(n, context, [&](Index row, Index rows_here) {
        for (Index i = row; i < row + rows_here; ++i) {
          for (Index c = 0; c < count; ++c) in.row(i).segment(c * width_, width_) = before(i, first + c) * matrix.row(i);
        }
      });
      if (transpose) {
        plan_.apply_transpose(input, out, context);
      } else {
        plan_.apply(input, out, context);
      }
      for_rows(n, context, [&](Index row, Index rows_here) {
        for (Index i = row; i < row + rows_here; ++i) {
          for (Index c = 0; c < count; ++c) target.row(i) += scale * after(i, first + c) * out.row(i).segment(c * width_, width_);
        }
      });
    }
  }

 private:
  const ConvAttentionPlan<T>& plan_;
  Index width_, together_;
};

}  // namespace

template <Real T>
void estimated_gradient(const HeadView<T>& head, const ConvAttentionPlan<T>& plan, const ConvBackwardInput<T>& forward,
                        const HeadGradients<T>& gradients, const RunContext& context) {
  require_fitting(head, plan.size(), forward, gradients);
  context.check();
  const Index n = head.size();
  // One more channel, whose values are -1: sum_c G_ic V_jc - delta_i.
  Matrix<T> value(n, head.value_width() + 1);
  Matrix<T> gradient(n, head.value_width() + 1);
  for (Index i = 0; i < n; ++i) {
    value.row(i) << head.value.row(i), T{-1};
    gradient.row(i) << forward.output_gradient.row(i), forward.output_gradient.row(i).dot(forward.output.row(i));
  }
  MutableMatrixView<T> query = gradients.query;
  MutableMatrixView<T> key = gradients.key;
  query.setZero();
  key.setZero();
  const ChannelProducts<T> products(plan, head.width());
  const auto scale = static_cast<T>(head.scale);
  products.add(false, view(value), head.key, view(gradient), scale, query, context);
  products.add(true, view(gradient), head.query, view(value), scale, key, context);
  plan.apply_transpose(forward.output_gradient, gradients.value, context);
}

template void estimated_gradient(const HeadView<float>&, const ConvAttentionPlan<float>&, const ConvBackwardInput<float>&,
                                 const HeadGradients<float>&, const RunContext&);
template void estimated_gradient(const HeadView<double>&, const ConvAttentionPlan<double>&, const ConvBackwardInput<double>&,
                                 const HeadGradients<double>&, const RunContext&);

}  // namespace convbasis
