/// \file
/// One head as the atlas of a model knows it: the figures of its summary, what each way of approximating it leaves as error, and
/// the ladder of ingredients. Nothing in it depends on the machine's speed, so that two runs give the same atlas.
#pragma once

#include "analysis/head_summary.h"
#include "attention/head.h"
#include "core/run_context.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace convbasis {

struct AtlasOptions {
  /// Its `recover.k` is not used: errors are taken at `ks`. Its `band` is that of the band mass, not the one kept exact below.
  HeadSummaryOptions summary = {.target_error = 0.1};
  /// Numbers of lag vectors (recover, fit) and ranks (rank) at which errors are taken: ascending, each >= 1, cut to n.
  std::vector<Index> ks = {4, 16};
  Index band = 64;     ///< lags that the fit keeps exact, >= 0
  Index columns = 16;  ///< columns that the fit keeps exact, >= 0
  bool ladder = true;  ///< fit, rank and the ladder too; they are most of the work

  bool operator==(const AtlasOptions&) const = default;
};

/// One rung of the ladder, without the time it took: see LadderRung.
struct AtlasRung {
  static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
  std::string key;                 ///< "rank_one", "lag_vectors", ...
  Index band = 0, columns = 0;     ///< what it keeps exact
  Index k = 0;                     ///< lag vectors
  Index rank = 0;                  ///< of matrix factors, for the rungs that are made of them
  double error = unknown;          ///< ||Y~ - Y||_F / ||Y||_F
  double heldout_error = unknown;  ///< of rows that it was not fitted on; NaN where there is no such figure
  double cost = unknown;           ///< multiply-adds for each of the n d numbers of the output
};

/// All figures propagate NaN; NaN also stands for what was not computed.
struct HeadAtlasEntry {
  Index n = 0;                                                                     ///< tokens looked at
  double entropy = 0.0, relative_entropy = 0.0, sink_mass = 0.0, band_mass = 0.0;  ///< as in HeadSummary
  std::vector<double> recover_errors, fit_errors, rank_errors;                     ///< at AtlasOptions::ks, one each
  std::optional<Index> k_for_target;                                               ///< of recover, as in HeadSummary
  std::vector<AtlasRung> ladder;                                                   ///< in the order of its cost; may be empty
  std::vector<float> thumbnail;                                                    ///< as in HeadSummary
  std::string failure;  ///< not empty: why there is nothing above, one line
};

/// Throws InvalidArgument, naming what is wrong, unless `options` fit a head of `size` tokens. Where a number of segments or T
/// is more than `size`, that is no error: they are cut.
void require_valid(const AtlasOptions& options, Index size);

/// Cost: summarize_head(), exact attention and one recovery more, and with `ladder` what make_ladder() takes. The entry does not
/// depend on the number of threads. Throws InvalidArgument, Cancelled.
template <Real T>
HeadAtlasEntry make_atlas_entry(const HeadView<T>& head, const AtlasOptions& options, const RunContext& context = {});

/// The first rung of the ladder, in its order, whose error is at most `target`; null when there is none.
const AtlasRung* first_rung_within(std::span<const AtlasRung> ladder, double target);

/// The median without NaN, the mean of the two middle ones of an even number; NaN of nothing.
double median(std::vector<double> values);

/// A thumbnail as one byte a pixel: 0 for NaN; else 1 + 254 (7 + log10 p) / 7, rounded, which is 1 for p <= 1e-7 and 255 for 1.
std::vector<std::uint8_t> thumbnail_codes(std::span<const float> thumbnail);
/// The middle of what a code stands for: encoding it again gives the same code.
std::vector<float> thumbnail_from_codes(std::span<const std::uint8_t> codes);

}  // namespace convbasis
