#include "basis/conv_basis.h"

#include "core/errors.h"

#include <algorithm>
#include <string>
#include <utility>

namespace convbasis {

template <Real T>
ConvBasis<T>::ConvBasis(Index size, std::vector<Index> starts, std::vector<std::vector<T>> lag_vectors)
    : size_(size), starts_(std::move(starts)) {
  for (auto& lags : lag_vectors) lag_vectors_.push_back(std::make_shared<const std::vector<T>>(std::move(lags)));
  if (size_ < 0) throw InvalidArgument("conv basis has size " + std::to_string(size_) + "; it must be 0 or larger");
  if (starts_.size() != lag_vectors_.size()) {
    throw InvalidArgument("conv basis has " + std::to_string(starts_.size()) + " starts and " +
                          std::to_string(lag_vectors_.size()) + " lag vectors; it needs one lag vector for each start");
  }
  for (Index r = 0; r < count(); ++r) {
    const Index lowest = r == 0 ? 0 : start(r - 1) + 1;
    if (start(r) < lowest || start(r) >= size_) {
      throw InvalidArgument("start " + std::to_string(r) + " of the conv basis is column " + std::to_string(start(r)) +
                            "; it must lie between " + std::to_string(lowest) + " and " + std::to_string(size_ - 1));
    }
    if (static_cast<Index>(lag_vector(r).size()) != extent(r)) {
      throw InvalidArgument("lag vector " + std::to_string(r) + " of the conv basis has " + std::to_string(lag_vector(r).size()) +
                            " entries; it must have " + std::to_string(extent(r)));
    }
  }
}

template <Real T>
std::vector<T> ConvBasis<T>::basis_vector(Index r) const {
  const auto current = lag_vector(r);
  std::vector<T> difference(current.begin(), current.end());
  if (r > 0) {
    const auto previous = lag_vector(r - 1);
    for (std::size_t t = 0; t < difference.size(); ++t) difference[t] -= previous[t];
  }
  return difference;
}

template <Real T>
ConvBasis<T> ConvBasis<T>::starting_at_zero() const {
  ConvBasis result = *this;
  if (size_ == 0 || (count() > 0 && start(0) == 0)) return result;
  result.starts_.insert(result.starts_.begin(), 0);
  result.lag_vectors_.insert(result.lag_vectors_.begin(),
                             std::make_shared<const std::vector<T>>(static_cast<std::size_t>(size_), T{0}));
  return result;
}

template <Real T>
ConvBasis<T> ConvBasis<T>::first(Index count) const {
  ConvBasis result = *this;
  const auto kept = static_cast<std::size_t>(std::clamp<Index>(count, 0, this->count()));
  result.starts_.resize(kept);
  result.lag_vectors_.resize(kept);
  return result;
}

template <Real T>
Index ConvBasis<T>::segment_of(Index column) const {
  return std::upper_bound(starts_.begin(), starts_.end(), column) - starts_.begin() - 1;
}

template <Real T>
T ConvBasis<T>::entry(Index row, Index column) const {
  const Index r = segment_of(column);
  if (row < column || r < 0) return T{0};
  return lag_vector(r)[static_cast<std::size_t>(row - column)];
}

template <Real T>
void ConvBasis<T>::tile(Index row, Index column, MutableMatrixView<T> tile) const {
  for (Index x = 0; x < tile.cols(); ++x) {
    const Index j = column + x;
    const Index r = segment_of(j);
    const Index masked = r < 0 ? tile.rows() : std::clamp<Index>(j - row, 0, tile.rows());
    for (Index a = 0; a < masked; ++a) tile(a, x) = T{0};
    if (masked == tile.rows()) continue;
    const T* lags = lag_vector(r).data() + (row - j);
    for (Index a = masked; a < tile.rows(); ++a) tile(a, x) = lags[a];
  }
}

template <Real T>
void ConvBasis<T>::row(Index row, Index column, std::span<T> target) const {
  const Index last = column + std::ssize(target);
  Index j = column;
  Index r = segment_of(column);
  while (j < last) {
    const Index stop = std::min(last, r < 0 ? (count() > 0 ? start(0) : size_) : end(r));
    T* values = target.data() + (j - column);
    if (r < 0) {
      std::fill_n(values, stop - j, T{0});
    } else {
      // Lags fall while columns rise.
      const T* lag = lag_vector(r).data() + (row - j);
      for (Index x = 0; x < stop - j; ++x) values[x] = lag[-x];
    }
    j = stop;
    ++r;
  }
}

template class ConvBasis<float>;
template class ConvBasis<double>;

}  // namespace convbasis
