#include "basis/score_columns.h"

#include "attention/kernels.h"
#include "core/errors.h"

#include <string>

namespace convbasis {

template <Real T>
HeadScores<T>::HeadScores(const HeadView<T>& head) : head_(head) {
  require_valid(head);
}

template <Real T>
void HeadScores<T>::read(Index column, std::span<T> lags) const {
  const T* key = head_.key.data() + column * head_.key.outerStride();
  kernels::multiply_vector<T>(rows(head_.query, column, static_cast<Index>(lags.size())), key, static_cast<T>(head_.scale),
                              lags.data());
}

template <Real T>
MatrixScores<T>::MatrixScores(MatrixView<T> matrix) : matrix_(matrix) {
  if (matrix.rows() != matrix.cols()) {
    throw InvalidArgument("matrix is " + std::to_string(matrix.rows()) + " x " + std::to_string(matrix.cols()) +
                          "; it must be square");
  }
}

template <Real T>
void MatrixScores<T>::read(Index column, std::span<T> lags) const {
  for (std::size_t t = 0; t < lags.size(); ++t) lags[t] = matrix_(column + static_cast<Index>(t), column);
}

template class HeadScores<float>;
template class HeadScores<double>;
template class MatrixScores<float>;
template class MatrixScores<double>;

}  // namespace convbasis
