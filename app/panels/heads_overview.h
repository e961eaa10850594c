/// \file
/// The whole model at a glance: layers by heads, each head a small picture or one number as a colour.
#pragma once

#include "gl/objects.h"
#include "state/head_table.h"
#include "view/colour_map.h"

#include <imgui.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace convscope {

/// What a cell of the overview shows.
enum class HeadsShow : std::uint8_t {
  maps,
  error,
  k_for_target,
  rank_one,
  one_lag_vector,
  lag_vectors,
  rung,
  entropy,
  sink,
  band
};
inline constexpr std::array heads_shows{
    HeadsShow::maps,        HeadsShow::error, HeadsShow::k_for_target, HeadsShow::rank_one, HeadsShow::one_lag_vector,
    HeadsShow::lag_vectors, HeadsShow::rung,  HeadsShow::entropy,      HeadsShow::sink,     HeadsShow::band};
const char* name_of(HeadsShow show);
/// Whose numbers it shows; for the maps that of the error, of which they show nothing.
HeadColumn column_of(HeadsShow show);

/// What is drawn: `rows` of all heads by layer and head, and those of them that the filter lets through.
struct HeadsOverviewInput {
  std::span<const convbasis::LayerInfo> layers;
  std::span<const HeadRow> rows;
  std::span<const bool> passed;  ///< as long as rows
  HeadSurvey::LayerHead current;
  SurveyOptions options;
  Index n = 1;  ///< that was asked for
};

class HeadsOverview {
 public:
  /// Fills the rest of the panel. Gives the head that was clicked. Throws gl::Error.
  std::optional<HeadSurvey::LayerHead> draw(const HeadsOverviewInput& input, HeadsShow show, ColourMap map);
  /// False while pictures wait to be coloured: another frame is needed.
  bool complete() const { return complete_; }

 private:
  struct Geometry;
  struct Colouring {
    ColourMap map = ColourMap::viridis;
    Rgb masked;
    bool operator==(const Colouring&) const = default;
  };

  void colour_pictures(const HeadsOverviewInput& input, ColourMap map);
  void draw_map(const HeadsOverviewInput& input, std::size_t index, ImVec2 low, ImVec2 high, float alpha) const;
  void draw_tooltip(const HeadsOverviewInput& input, std::size_t index, HeadsShow show) const;

  std::optional<gl::PictureAtlas> atlas_;
  Colouring colouring_;
  std::vector<std::shared_ptr<const convbasis::HeadSummary>> pictured_;  ///< what the atlas holds
  bool complete_ = true;
};

}  // namespace convscope
