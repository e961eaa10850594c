#include "analysis/head_atlas.h"

#include "analysis/error_by_k.h"
#include "analysis/error_report.h"
#include "analysis/exact_part.h"
#include "analysis/ladder.h"
#include "analysis/yardsticks.h"
#include "basis/recover.h"
#include "basis/structured.h"
#include "basis/structured_apply.h"
#include "basis/structured_sampled.h"
#include "core/errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

namespace convbasis {
namespace {

constexpr double least_power = -7.0;  ///< of ten: the smallest probability that a thumbnail's code tells from 0
constexpr double most_code = 254.0;

/// The options of the summary, cut to a head of `size` tokens.
HeadSummaryOptions summary_options(const AtlasOptions& options, Index size) {
  HeadSummaryOptions result = options.summary;
  result.recover.k = std::min(options.ks.front(), size);
  result.recover.T = std::min(result.recover.T, size);
  return result;
}

/// Recover's error at each of the options' ks: from the summary where it was measured, else from one more recovery.
template <Real T>
std::vector<double> recover_errors(const HeadView<T>& head, const ExactPart<T>& exact, const HeadSummary& summary,
                                   const AtlasOptions& options, const RunContext& context) {
  std::vector<double> errors;
  std::vector<Index> missing;
  for (const Index asked : options.ks) {
    const Index k = std::min(asked, head.size());
    const auto known = summary.error_at(k);
    errors.push_back(known.value_or(AtlasRung::unknown));
    if (!known) missing.push_back(k);
  }
  if (missing.empty()) return errors;
  RecoverOptions recover_options = summary.options.recover;
  recover_options.k = missing.back();
  const ConvBasis<T> basis = recover<T>(HeadScores<T>(head), recover_options, context).basis;
  const std::vector<KError> measured = error_by_k<T>(head, exact.rows, view(exact.output), basis, missing, {}, context);
  for (std::size_t place = 0, next = 0; place < errors.size(); ++place) {
    if (!summary.error_at(std::min(options.ks[place], head.size()))) errors[place] = measured[next++].error;
  }
  return errors;
}

/// The error of one fit, as `ladder` has it or made for it.
template <Real T>
double fit_error(const HeadView<T>& head, const ExactPart<T>& exact, std::span<const double> lse, const Ladder& ladder, Index k,
                 const RunContext& context) {
  const std::string_view key = k == 1 ? rung::one_lag_vector : rung::lag_vectors;
  if (const LadderRung* rung = ladder.find(key); rung != nullptr && rung->k == k) return rung->error;
  const StructuredOptions options{.band = ladder.options.band, .columns = ladder.options.columns, .k = k};
  // As the ladder does: from all rows while that is affordable.
  auto fit = std::make_shared<const StructuredFit>(head.size() > full_fit_limit ? fit_sampled(head, options, {}, context)
                                                                                : fit_structured(head, lse, options, context));
  return known_row_error(exact, fit_output(head, std::move(fit), context).first);
}

/// The errors of truncated SVDs of P; none where it is too large to be held.
template <Real T>
void add_rank_errors(const HeadView<T>& head, const ExactPart<T>& exact, std::span<const double> lse, const AtlasOptions& options,
                     HeadAtlasEntry& entry, const RunContext& context) {
  const Index n = head.size();
  if (n > yardstick_limit) return;
  const Matrix<T> probability = dense_probabilities(head, lse, context);
  for (std::size_t place = 0; place < options.ks.size(); ++place) {
    const MatrixFactors<T> factors = truncated_svd(probability, std::min(options.ks[place], n), context);
    entry.rank_errors[place] = known_row_error(exact, factored_product<T>(factors, head.value, context));
  }
}

/// The ladder, whose top rung has the largest k, and what fits and ranks of the other ks leave.
template <Real T>
void add_ladder(const HeadView<T>& head, const ExactPart<T>& exact, const AtlasOptions& options, HeadAtlasEntry& entry,
                const RunContext& context) {
  const Index n = head.size();
  const LadderOptions wanted{
      .band = std::min(options.band, n), .columns = std::min(options.columns, n), .k = std::min(options.ks.back(), n)};
  const Ladder ladder = make_ladder(head, exact, wanted, context);
  for (const LadderRung& rung : ladder.rungs) {
    entry.ladder.push_back({rung.key, rung.band, rung.columns, rung.k, rung.rank, rung.error, rung.heldout_error, rung.cost});
  }
  const std::vector<double> lse = exact.normalisers->all();
  for (std::size_t place = 0; place < options.ks.size(); ++place) {
    entry.fit_errors[place] =
        fit_error(head, exact, std::span<const double>(lse), ladder, std::min(options.ks[place], n), context);
  }
  add_rank_errors(head, exact, std::span<const double>(lse), options, entry, context);
}

}  // namespace

void require_valid(const AtlasOptions& options, Index size) {
  if (options.ks.empty()) throw InvalidArgument("ks is empty; it must name at least one number of lag vectors");
  for (std::size_t place = 0; place < options.ks.size(); ++place) {
    const Index k = options.ks[place];
    if (k < 1) throw InvalidArgument(fmt::format("ks holds {}; each must be at least 1", k));
    if (place > 0 && k <= options.ks[place - 1]) throw InvalidArgument("ks must ascend, each number once");
  }
  if (options.band < 0) throw InvalidArgument(fmt::format("band is {}; it must be at least 0", options.band));
  if (options.columns < 0) throw InvalidArgument(fmt::format("columns is {}; it must be at least 0", options.columns));
  require_valid(summary_options(options, size), size);
}

template <Real T>
HeadAtlasEntry make_atlas_entry(const HeadView<T>& head, const AtlasOptions& options, const RunContext& context) {
  require_valid(head);
  require_valid(options, head.size());
  RunContext quiet = context;
  quiet.progress = {};  // of the parts; the whole is what a caller can make use of
  HeadSummary summary = summarize_head(head, summary_options(options, head.size()), quiet);
  HeadAtlasEntry entry{.n = head.size(),
                       .entropy = summary.entropy,
                       .relative_entropy = summary.relative_entropy,
                       .sink_mass = summary.sink_mass,
                       .band_mass = summary.band_mass,
                       .recover_errors = {},
                       .fit_errors = std::vector<double>(options.ks.size(), AtlasRung::unknown),
                       .rank_errors = std::vector<double>(options.ks.size(), AtlasRung::unknown),
                       .k_for_target = summary.k_for_target,
                       .ladder = {},
                       .thumbnail = {},
                       .failure = {}};
  context.report("atlas", 0.2);
  const ExactPart<T> exact = exact_part(head, quiet);
  entry.recover_errors = recover_errors(head, exact, summary, options, quiet);
  context.report("atlas", 0.3);
  if (options.ladder) add_ladder(head, exact, options, entry, quiet);
  entry.thumbnail = std::move(summary.thumbnail);
  context.report("atlas", 1.0);
  return entry;
}

const AtlasRung* first_rung_within(std::span<const AtlasRung> ladder, double target) {
  const auto place = std::ranges::find_if(ladder, [&](const AtlasRung& rung) { return rung.error <= target; });
  return place == ladder.end() ? nullptr : &*place;
}

double median(std::vector<double> values) {
  std::erase_if(values, [](double value) { return std::isnan(value); });
  if (values.empty()) return AtlasRung::unknown;
  std::ranges::sort(values);
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : 0.5 * (values[half - 1] + values[half]);
}

std::vector<std::uint8_t> thumbnail_codes(std::span<const float> thumbnail) {
  std::vector<std::uint8_t> codes;
  codes.reserve(thumbnail.size());
  for (const float pixel : thumbnail) {
    const double power = pixel > 0.0F ? std::log10(static_cast<double>(pixel)) : least_power;
    const double code = 1.0 + most_code * (std::clamp(power, least_power, 0.0) / -least_power + 1.0);
    codes.push_back(std::isnan(pixel) ? std::uint8_t{0} : static_cast<std::uint8_t>(std::lround(code)));
  }
  return codes;
}

std::vector<float> thumbnail_from_codes(std::span<const std::uint8_t> codes) {
  std::vector<float> thumbnail;
  thumbnail.reserve(codes.size());
  for (const std::uint8_t code : codes) {
    const double power = least_power * (1.0 - (static_cast<double>(code) - 1.0) / most_code);
    thumbnail.push_back(code == 0 ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(std::pow(10.0, power)));
  }
  return thumbnail;
}

template HeadAtlasEntry make_atlas_entry(const HeadView<float>&, const AtlasOptions&, const RunContext&);
template HeadAtlasEntry make_atlas_entry(const HeadView<double>&, const AtlasOptions&, const RunContext&);

}  // namespace convbasis
