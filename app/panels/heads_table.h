/// \file
/// The heads of a model as a table that sorts by its titles.
#pragma once

#include "state/head_table.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace convscope {

class HeadsTable {
 public:
  /// Fills the rest of the panel with those of `rows` that `passed` lets through. `version` changes whenever either does. Gives
  /// the head of a clicked row.
  std::optional<HeadSurvey::LayerHead> draw(std::span<const HeadRow> rows, std::span<const bool> passed, std::uint64_t version,
                                            HeadSurvey::LayerHead current, const SurveyOptions& options);
  /// The rows as they were drawn last, in their order.
  std::span<const HeadRow> shown() const { return shown_; }

 private:
  void refresh(std::span<const HeadRow> rows, std::span<const bool> passed, std::uint64_t version);

  std::vector<HeadRow> shown_;
  std::array<std::string, head_column_count> medians_;  ///< of shown_
  std::vector<HeadOrder> orders_;
  std::uint64_t shown_version_ = 0;
};

}  // namespace convscope
