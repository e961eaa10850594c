#include "lowrank/masked_product.h"

#include "core/errors.h"
#include "core/threads.h"
#include "lowrank/interval_sums.h"

#include <fmt/format.h>

#include <algorithm>
#include <variant>
#include <vector>

namespace convbasis {
namespace {

template <Real T>
void require_shapes(const Factors<T>& factors, Index n, const MatrixView<T>& value, const MutableMatrixView<T>& out) {
  const auto& [left, right] = factors;
  if (left.rows() != n || right.rows() != n || left.cols() != right.cols() || value.rows() != n || out.rows() != n ||
      out.cols() != value.cols()) {
    throw InvalidArgument(
        fmt::format("factors of {} x {} and {} x {}, values of {} x {} and a result of {} x {}; a mask of {} rows needs as many, "
                    "the factors as many columns as each other, and the result those of the values",
                    left.rows(), left.cols(), right.rows(), right.cols(), value.rows(), value.cols(), out.rows(), out.cols(), n));
  }
}

/// `body(c)` for each column of v, the columns shared by the threads, gives the operations of that column.
template <class Body>
Operations for_columns(const RunContext& context, Index columns, const Body& body) {
  std::vector<Operations> counts(static_cast<std::size_t>(columns));
  parallel_for(context, columns, [&](Index c, int) { counts[static_cast<std::size_t>(c)] = body(c); });
  Operations total;
  for (const Operations& count : counts) total += count;
  return total;
}

/// The columns of the row at hand, with their sum.
template <Real T>
class ChangingSum {
 public:
  ChangingSum(const MatrixView<T>& right, const MatrixView<T>& value, Index column)
      : right_(right),
        value_(value),
        column_(column),
        place_(static_cast<std::size_t>(right.rows()), -1),
        sum_(RowVector<T>::Zero(right.cols())) {}

  /// The column comes, or goes when it is there.
  void change(Index j) {
    Index& place = place_[static_cast<std::size_t>(j)];
    if (place < 0) {
      place = std::ssize(members_);
      members_.push_back(j);
      add(j, value_(j, column_));
      return;
    }
    place_[static_cast<std::size_t>(members_.back())] = place;
    members_[static_cast<std::size_t>(place)] = members_.back();
    members_.pop_back();
    place = -1;
    add(j, -value_(j, column_));
    ++removed_;
  }

  /// Makes the sum anew once that costs no more than what was removed since the last time.
  void rebuild_if_stale() {
    if (removed_ == 0 || removed_ < std::ssize(members_)) return;
    removed_ = 0;
    sum_.setZero();
    for (const Index j : members_) add(j, value_(j, column_));
  }

  const RowVector<T>& sum() const { return sum_; }
  Index added() const { return added_; }

 private:
  void add(Index j, T factor) {
    sum_ += factor * right_.row(j);
    ++added_;
  }

  const MatrixView<T>& right_;
  const MatrixView<T>& value_;
  Index column_;
  std::vector<Index> place_;  ///< among the members; -1: not one of them
  std::vector<Index> members_;
  RowVector<T> sum_;
  Index removed_ = 0, added_ = 0;
};

}  // namespace

template <Real T>
Operations causal_product(const Factors<T>& factors, MatrixView<T> value, MutableMatrixView<T> out, const RunContext& context) {
  const Index n = factors.left.rows();
  const Index rank = factors.left.cols();
  require_shapes(factors, n, value, out);
  return for_columns(context, value.cols(), [&](Index c) {
    RowVector<T> sum = RowVector<T>::Zero(rank);
    for (Index i = 0; i < n; ++i) {
      if (i % 256 == 0) context.check();
      sum += value(i, c) * factors.right.row(i);
      out(i, c) = sum.dot(factors.left.row(i));
    }
    return Operations{.multiply_adds = 2 * n * rank};
  });
}

template <Real T>
Operations interval_product(const Factors<T>& factors, const IntervalMask& mask, MatrixView<T> value, MutableMatrixView<T> out,
                            IntervalWay way, const RunContext& context) {
  require_shapes(factors, mask.size(), value, out);
  if (way == IntervalWay::safe) way = mask.is_sliding() ? IntervalWay::two_stacks : IntervalWay::segment_tree;
  if (way == IntervalWay::two_stacks && !mask.is_sliding()) {
    throw InvalidArgument("two stacks need rows that slide: neither end of a row may lie before that of the row above");
  }
  return for_columns(context, value.cols(), [&](Index c) {
    IntervalSums<T> sums(factors.right, value, c, context);
    if (way == IntervalWay::prefix_differences) return prefix_differences(sums, factors.left, mask, out);
    if (way == IntervalWay::two_stacks) return two_stacks(sums, factors.left, mask, out);
    return segment_tree(sums, factors.left, mask, out);
  });
}

template <Real T>
Operations row_change_product(const Factors<T>& factors, const RowChangeMask& mask, MatrixView<T> value, MutableMatrixView<T> out,
                              bool rebuild, const RunContext& context) {
  require_shapes(factors, mask.size(), value, out);
  const Index rank = factors.left.cols();
  return for_columns(context, value.cols(), [&](Index c) {
    ChangingSum<T> sum(factors.right, value, c);
    for (Index i = 0; i < mask.size(); ++i) {
      context.check();
      const auto [begin, end] = mask.row(i);
      for (const Index* j = begin; j != end; ++j) sum.change(*j);
      if (rebuild) sum.rebuild_if_stale();
      out(i, c) = sum.sum().dot(factors.left.row(i));
    }
    return Operations{.multiply_adds = (sum.added() + mask.size()) * rank};
  });
}

template <Real T>
Operations distinct_rows_product(const Factors<T>& factors, const DistinctRowsMask& mask, MatrixView<T> value,
                                 MutableMatrixView<T> out, const RunContext& context) {
  require_shapes(factors, mask.size(), value, out);
  const Index rank = factors.left.cols();
  return for_columns(context, value.cols(), [&](Index c) {
    Matrix<T> sums = Matrix<T>::Zero(mask.distinct(), rank);
    for (Index s = 0; s < mask.distinct(); ++s) {
      context.check();
      for (const Index j : mask.set(s)) sums.row(s) += value(j, c) * factors.right.row(j);
    }
    for (Index i = 0; i < mask.size(); ++i) out(i, c) = sums.row(mask.set_of(i)).dot(factors.left.row(i));
    return Operations{.multiply_adds = (mask.members() + mask.size()) * rank};
  });
}

template <Real T>
Operations distinct_columns_product(const Factors<T>& factors, const DistinctColumnsMask& mask, MatrixView<T> value,
                                    MutableMatrixView<T> out, const RunContext& context) {
  require_shapes(factors, mask.size(), value, out);
  const DistinctRowsMask& sets = mask.transposed();
  const Index rank = factors.left.cols();
  return for_columns(context, value.cols(), [&](Index c) {
    Matrix<T> sums = Matrix<T>::Zero(sets.distinct(), rank);
    for (Index j = 0; j < mask.size(); ++j) sums.row(sets.set_of(j)) += value(j, c) * factors.right.row(j);
    out.col(c).setZero();
    for (Index s = 0; s < sets.distinct(); ++s) {
      context.check();
      for (const Index i : sets.set(s)) out(i, c) += sums.row(s).dot(factors.left.row(i));
    }
    return Operations{.multiply_adds = (sets.members() + mask.size()) * rank};
  });
}

template <Real T>
Operations masked_product(const Factors<T>& factors, const Mask& mask, MatrixView<T> value, MutableMatrixView<T> out,
                          const RunContext& context) {
  if (const auto* rows = std::get_if<IntervalMask>(&mask))
    return interval_product(factors, *rows, value, out, IntervalWay::safe, context);
  if (const auto* changes = std::get_if<RowChangeMask>(&mask))
    return row_change_product(factors, *changes, value, out, true, context);
  if (const auto* sets = std::get_if<DistinctRowsMask>(&mask)) return distinct_rows_product(factors, *sets, value, out, context);
  return distinct_columns_product(factors, std::get<DistinctColumnsMask>(mask), value, out, context);
}

template Operations causal_product(const Factors<float>&, MatrixView<float>, MutableMatrixView<float>, const RunContext&);
template Operations causal_product(const Factors<double>&, MatrixView<double>, MutableMatrixView<double>, const RunContext&);
template Operations interval_product(const Factors<float>&, const IntervalMask&, MatrixView<float>, MutableMatrixView<float>,
                                     IntervalWay, const RunContext&);
template Operations interval_product(const Factors<double>&, const IntervalMask&, MatrixView<double>, MutableMatrixView<double>,
                                     IntervalWay, const RunContext&);
template Operations row_change_product(const Factors<float>&, const RowChangeMask&, MatrixView<float>, MutableMatrixView<float>,
                                       bool, const RunContext&);
template Operations row_change_product(const Factors<double>&, const RowChangeMask&, MatrixView<double>,
                                       MutableMatrixView<double>, bool, const RunContext&);
template Operations distinct_rows_product(const Factors<float>&, const DistinctRowsMask&, MatrixView<float>,
                                          MutableMatrixView<float>, const RunContext&);
template Operations distinct_rows_product(const Factors<double>&, const DistinctRowsMask&, MatrixView<double>,
                                          MutableMatrixView<double>, const RunContext&);
template Operations distinct_columns_product(const Factors<float>&, const DistinctColumnsMask&, MatrixView<float>,
                                             MutableMatrixView<float>, const RunContext&);
template Operations distinct_columns_product(const Factors<double>&, const DistinctColumnsMask&, MatrixView<double>,
                                             MutableMatrixView<double>, const RunContext&);
template Operations masked_product(const Factors<float>&, const Mask&, MatrixView<float>, MutableMatrixView<float>,
                                   const RunContext&);
template Operations masked_product(const Factors<double>&, const Mask&, MatrixView<double>, MutableMatrixView<double>,
                                   const RunContext&);

}  // namespace convbasis
