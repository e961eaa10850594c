#include "basis/structured.h"

#include "basis/structured_apply.h"
#include "basis/structured_scaling.h"
#include "core/errors.h"

#include <fmt/format.h>

namespace convbasis {

template <Real T>
Structure choose_structure(const HeadView<T>& head, const WeightedRows& rows, const StructuredOptions& options,
                           const RunContext& context) {
  require_valid(head);
  require_valid(options, head.size());
  const ColumnSums sums = column_sums(head, rows, options.band, context);
  Structure structure{{head.size(), options.band, choose_columns<T>(sums, head.value, options.columns, options.column_rule)}, {}};
  std::vector<double> mass = sums.outside;
  for (const Index j : structure.exact.columns) mass[static_cast<std::size_t>(j)] = 0.0;
  structure.starts = equal_mass_starts(mass, options.k);
  return structure;
}

template <Real T>
HeadSums gather_sums(const HeadView<T>& head, std::span<const double> lse, const Structure& structure, bool heldout,
                     const RunContext& context) {
  const auto sums = [&](Index first, Index step) {
    return rest_sums(head, WeightedRows::every(lse, first, step), structure.exact, structure.starts, context);
  };
  if (!heldout) return {sums(0, 1), std::nullopt};
  RestSums even = sums(0, 2);
  return {joined(even, sums(1, 2)), std::move(even)};
}

template <Real T>
StructuredFit fit_structured(const HeadView<T>& head, std::span<const double> lse, const RestSums& sums,
                             const StructuredOptions& options, const RunContext& context) {
  StructuredFit fit = fit_rest(sums, options, context);
  if (options.rest == RestKind::dropped) {
    fit.lse = exact_entries_lse(head, fit.exact, lse, context);
  } else {
    fit.lse.assign(lse.begin(), lse.end());
  }
  return fit;
}

template <Real T>
StructuredFit fit_heldout(const HeadView<T>& head, std::span<const double> lse, const HeadSums& sums,
                          const StructuredOptions& options, const RunContext& context) {
  if (!sums.even) throw InvalidArgument("the sums have no even rows of their own; gather them with heldout");
  StructuredFit fit = fit_structured(head, lse, *sums.even, options, context);
  if (options.rest != RestKind::dropped) set_row_factors(fit, sums.all, context);
  return fit;
}

template <Real T>
StructuredFit fit_structured(const HeadView<T>& head, std::span<const double> lse, const StructuredOptions& options,
                             const RunContext& context) {
  if (std::ssize(lse) != head.size()) {
    throw InvalidArgument(fmt::format("lse has {} entries; it must have one for each of the {} rows", lse.size(), head.size()));
  }
  const Structure structure = choose_structure(head, WeightedRows::every(lse, 0, 1), options, context);
  return fit_structured(head, lse, gather_sums(head, lse, structure, false, context).all, options, context);
}

template Structure choose_structure(const HeadView<float>&, const WeightedRows&, const StructuredOptions&, const RunContext&);
template HeadSums gather_sums(const HeadView<float>&, std::span<const double>, const Structure&, bool, const RunContext&);
template StructuredFit fit_structured(const HeadView<float>&, std::span<const double>, const RestSums&, const StructuredOptions&,
                                      const RunContext&);
template StructuredFit fit_heldout(const HeadView<float>&, std::span<const double>, const HeadSums&, const StructuredOptions&,
                                   const RunContext&);
template StructuredFit fit_structured(const HeadView<float>&, std::span<const double>, const StructuredOptions&,
                                      const RunContext&);
template Structure choose_structure(const HeadView<double>&, const WeightedRows&, const StructuredOptions&, const RunContext&);
template HeadSums gather_sums(const HeadView<double>&, std::span<const double>, const Structure&, bool, const RunContext&);
template StructuredFit fit_structured(const HeadView<double>&, std::span<const double>, const RestSums&, const StructuredOptions&,
                                      const RunContext&);
template StructuredFit fit_heldout(const HeadView<double>&, std::span<const double>, const HeadSums&, const StructuredOptions&,
                                   const RunContext&);
template StructuredFit fit_structured(const HeadView<double>&, std::span<const double>, const StructuredOptions&,
                                      const RunContext&);

}  // namespace convbasis
