#include "analysis/exact_part.h"

#include "analysis/sampled_rows.h"
#include "attention/exact_attention.h"
#include "attention/exact_rows.h"
#include "core/stopwatch.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace convbasis {

RowNormalisers::RowNormalisers(Index n) : values_(static_cast<std::size_t>(n)) {
  for (auto& value : values_) value.store(std::numeric_limits<double>::quiet_NaN(), std::memory_order_relaxed);
}

RowNormalisers::RowNormalisers(std::span<const double> all) : values_(all.size()) {
  for (std::size_t row = 0; row < all.size(); ++row) values_[row].store(all[row], std::memory_order_relaxed);
}

std::vector<double> RowNormalisers::all() const {
  std::vector<double> values;
  values.reserve(values_.size());
  for (Index row = 0; row < size(); ++row) values.push_back((*this)[row]);
  return values;
}

template <Real T>
void RowNormalisers::require(const HeadView<T>& head, std::span<const Index> rows, const RunContext& context) {
  std::vector<Index> unknown;
  std::ranges::copy_if(rows, std::back_inserter(unknown), [this](Index row) { return std::isnan((*this)[row]); });
  if (unknown.empty()) return;
  std::vector<double> found(unknown.size());
  Matrix<T> no_output(0, 0);
  exact_rows<T>(head, unknown, mutable_view(no_output), found, context);
  for (std::size_t x = 0; x < unknown.size(); ++x) set(unknown[x], found[x]);
}

template <Real T>
ExactPart<T> exact_part(const HeadView<T>& head, const RunContext& context) {
  ExactPart<T> exact;
  exact.rows.resize(static_cast<std::size_t>(head.size()));
  std::iota(exact.rows.begin(), exact.rows.end(), Index{0});
  exact.output.resize(head.size(), head.value_width());
  std::vector<double> lse(exact.rows.size());
  Stopwatch watch;
  exact_attention<T>(head, mutable_view(exact.output), lse, context);
  exact.seconds = watch.lap();
  exact.normalisers = std::make_shared<RowNormalisers>(lse);
  return exact;
}

template <Real T>
ExactPart<T> sampled_exact_part(const HeadView<T>& head, std::shared_ptr<RowNormalisers> normalisers, const RunContext& context) {
  const Index row_cost = head.size() * (head.width() + head.value_width());
  const Index count = std::clamp<Index>((Index{1} << 35) / row_cost, 64, 1024);
  ExactPart<T> exact;
  exact.rows = choose_rows(head.size(), count, {});
  exact.output.resize(std::ssize(exact.rows), head.value_width());
  exact.normalisers = std::move(normalisers);
  std::vector<double> lse(exact.rows.size());
  Stopwatch watch;
  exact_rows<T>(head, exact.rows, mutable_view(exact.output), lse, context);
  exact.seconds = watch.lap();
  for (std::size_t x = 0; x < lse.size(); ++x) exact.normalisers->set(exact.rows[x], lse[x]);
  return exact;
}

template void RowNormalisers::require(const HeadView<float>&, std::span<const Index>, const RunContext&);
template void RowNormalisers::require(const HeadView<double>&, std::span<const Index>, const RunContext&);
template ExactPart<float> exact_part(const HeadView<float>&, const RunContext&);
template ExactPart<double> exact_part(const HeadView<double>&, const RunContext&);
template ExactPart<float> sampled_exact_part(const HeadView<float>&, std::shared_ptr<RowNormalisers>, const RunContext&);
template ExactPart<double> sampled_exact_part(const HeadView<double>&, std::shared_ptr<RowNormalisers>, const RunContext&);

}  // namespace convbasis
