#include "state/head_ladder.h"

#include <fmt/format.h>

#include <utility>

namespace convscope {

namespace rung = convbasis::rung;

void HeadLadder::want(std::shared_ptr<const Analysis> analysis, const AnalysisRequest& request) {
  analysis_ = std::move(analysis);
  if (!analysis_) return job_.want({});
  job_.want(Key{.source = request.source,
                .layer = request.layer,
                .head = request.head,
                .n = request.n,
                .k = request.k,
                .band = request.band,
                .columns = request.columns,
                .rows = std::ssize(analysis_->exact->rows)});
}

void HeadLadder::poll() {
  job_.poll([this](const Key& key) {
    const convbasis::LadderOptions options{.band = key.band, .columns = key.columns, .k = key.k};
    return [analysis = analysis_, options](const convbasis::RunContext& context) {
      return convbasis::make_ladder<float>(analysis->head(), *analysis->exact, options, context);
    };
  });
}

std::string rung_label(const convbasis::LadderRung& rung) {
  const auto counted = [](Index count, const char* what) { return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s"); };
  if (rung.key == rung::truncated_svd) return fmt::format("SVD of rank {}", rung.rank);
  if (rung.key == rung::columns) return rung.columns == 0 ? "nothing" : counted(rung.columns, "column") + " alone";
  if (rung.key == rung::band) return fmt::format("+ band of {}", rung.band);
  if (rung.key == rung::rest_mass) return "+ mass of the rest";
  if (rung.key == rung::rank_one) return "+ rank one";
  if (rung.key == rung::one_lag_vector) return "+ 1 lag vector";
  if (rung.key == rung::lag_vectors) return "+ " + counted(rung.k, "lag vector");
  if (rung.key == rung::wider_band) return fmt::format("band of {}, rank one", rung.band);
  if (rung.key == rung::nonnegative_rank) return fmt::format("factors of rank {}", rung.rank);
  return rung.key;
}

std::string_view rung_help(std::string_view key) {
  if (key == rung::columns) return "The attention paid to the exact columns, and nothing else: P_ij for j in C.";
  if (key == rung::band) return "And the last lags exactly: P_ij for i - j < w.";
  if (key == rung::rest_mass) return "And the rest of every row, spread evenly over its other keys: a_i.";
  if (key == rung::rank_one) return "Spread by one factor for each key instead: a_i b_j. Running sums, no FFT.";
  if (key == rung::one_lag_vector) return "Times one factor for each lag: a_i b_j g[i - j]. One convolution.";
  if (key == rung::lag_vectors) return "One such lag vector for each of k segments of keys: a_i b_j g_r[i - j].";
  if (key == rung::wider_band) return "Beside the ladder: what the lag vectors cost, spent on a wider band with rank one.";
  if (key == rung::nonnegative_rank)
    return "Beside the ladder: non-negative factors of the rest, at the cost of the lag vectors.";
  if (key == rung::truncated_svd) return "Beside the ladder: the best of this rank for all of P, neither band nor columns.";
  return key;
}

}  // namespace convscope
