#include "lowrank/interval_sums.h"

namespace convbasis {
namespace {

constexpr Index rows_between_checks = 256;

}  // namespace

template <Real T>
Operations prefix_differences(const IntervalSums<T>& sums, const MatrixView<T>& left, const IntervalMask& mask,
                              MutableMatrixView<T> out) {
  const Index n = sums.size();
  Matrix<T> prefix(n + 1, sums.rank());
  prefix.row(0).setZero();
  for (Index j = 0; j < n; ++j) {
    if (j % rows_between_checks == 0) sums.context.check();
    prefix.row(j + 1) = prefix.row(j) + sums.value(j, sums.column) * sums.right.row(j);
  }
  for (Index i = 0; i < n; ++i) {
    if (i % rows_between_checks == 0) sums.context.check();
    const auto [begin, end] = mask.row(i);
    out(i, sums.column) = (prefix.row(end) - prefix.row(begin)).dot(left.row(i));
  }
  return {.multiply_adds = 2 * n * sums.rank(), .additions = n * sums.rank()};
}

template <Real T>
Operations two_stacks(const IntervalSums<T>& sums, const MatrixView<T>& left, const IntervalMask& mask,
                      MutableMatrixView<T> out) {
  const Index n = sums.size();
  Index added = 0;
  Index joined = 0;
  // front.row(x): the sum over [front_begin + x, middle); back: the sum over [middle, end).
  Matrix<T> front(0, sums.rank());
  RowVector<T> back = RowVector<T>::Zero(sums.rank());
  RowVector<T> both(sums.rank());
  Index front_begin = 0, middle = 0, end = 0;
  const auto add = [&](auto&& target, Index j) {
    target += sums.value(j, sums.column) * sums.right.row(j);
    ++added;
  };
  for (Index i = 0; i < n; ++i) {
    if (i % rows_between_checks == 0) sums.context.check();
    const Interval row = mask.row(i);
    if (row.size() == 0) {
      out(i, sums.column) = T{0};
      continue;
    }
    if (row.begin > middle) {  // what the window still holds of the back becomes the front
      const Index kept = std::max<Index>(0, end - row.begin);
      front_begin = row.begin;
      middle = end = row.begin + kept;
      if (front.rows() < kept) front.resize(kept, sums.rank());
      for (Index x = kept; x-- > 0;) {
        if (x + 1 < kept) {
          front.row(x) = front.row(x + 1);
        } else {
          front.row(x).setZero();
        }
        add(front.row(x), row.begin + x);
      }
      back.setZero();
    }
    for (; end < row.end; ++end) add(back, end);
    if (row.begin < middle) {
      both = front.row(row.begin - front_begin) + back;
      ++joined;
      out(i, sums.column) = both.dot(left.row(i));
    } else {
      out(i, sums.column) = back.dot(left.row(i));
    }
  }
  return {.multiply_adds = (added + n) * sums.rank(), .additions = joined * sums.rank()};
}

template <Real T>
Operations segment_tree(const IntervalSums<T>& sums, const MatrixView<T>& left, const IntervalMask& mask,
                        MutableMatrixView<T> out) {
  const Index n = sums.size();
  Index additions = 0;
  // Node x is the sum of nodes 2 x and 2 x + 1; the leaves are the nodes n ... 2 n - 1.
  Matrix<T> node(2 * n, sums.rank());
  for (Index j = 0; j < n; ++j) node.row(n + j) = sums.value(j, sums.column) * sums.right.row(j);
  for (Index x = n - 1; x >= 1; --x) {
    if (x % rows_between_checks == 0) sums.context.check();
    node.row(x) = node.row(2 * x) + node.row(2 * x + 1);
    ++additions;
  }
  RowVector<T> sum(sums.rank());
  for (Index i = 0; i < n; ++i) {
    if (i % rows_between_checks == 0) sums.context.check();
    const Interval row = mask.row(i);
    sum.setZero();
    Index low = row.begin + n, high = row.end + n;
    for (; low < high; low /= 2, high /= 2) {
      if (low % 2 == 1) sum += node.row(low++), ++additions;
      if (high % 2 == 1) sum += node.row(--high), ++additions;
    }
    out(i, sums.column) = sum.dot(left.row(i));
  }
  return {.multiply_adds = 2 * n * sums.rank(), .additions = additions * sums.rank()};
}

template Operations prefix_differences(const IntervalSums<float>&, const MatrixView<float>&, const IntervalMask&,
                                       MutableMatrixView<float>);
template Operations prefix_differences(const IntervalSums<double>&, const MatrixView<double>&, const IntervalMask&,
                                       MutableMatrixView<double>);
template Operations two_stacks(const IntervalSums<float>&, const MatrixView<float>&, const IntervalMask&,
                               MutableMatrixView<float>);
template Operations two_stacks(const IntervalSums<double>&, const MatrixView<double>&, const IntervalMask&,
                               MutableMatrixView<double>);
template Operations segment_tree(const IntervalSums<float>&, const MatrixView<float>&, const IntervalMask&,
                                 MutableMatrixView<float>);
template Operations segment_tree(const IntervalSums<double>&, const MatrixView<double>&, const IntervalMask&,
                                 MutableMatrixView<double>);

}  // namespace convbasis
