/// \file
/// The three maps: exact attention, its approximation and the residual, with one shared view.
#pragma once

#include "analysis/head_analysis.h"
#include "gl/map_renderer.h"
#include "panels/map_layout.h"
#include "panels/map_ranges.h"
#include "panels/map_readout.h"
#include "panels/map_selection.h"
#include "panels/map_starts.h"
#include "state/map_tiles.h"
#include "state/map_view.h"

#include <array>
#include <cfloat>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace convscope {

/// What the maps show.
struct MapsInput {
  std::shared_ptr<const convbasis::HeadAnalysis<float>> analysis;  ///< null: the panels say what to do
  std::uint64_t exact_id = 0;                                      ///< another one for another head, n or scale
  std::uint64_t approximation_id = 0;                              ///< grows with every result
  bool stale = false;                   ///< the analysis answers an older request; a newer one is under way
  std::span<const std::string> tokens;  ///< at least n, or none
  bool dark = true;
  /// For slot B: what it is compared with, and which part of both the difference is of.
  std::shared_ptr<const convbasis::HeadAnalysis<float>> other;
  convbasis::MapKind part = convbasis::MapKind::exact;
  std::uint64_t other_exact_id = 0, other_approximation_id = 0;
};

/// Draws the windows "Exact###exact", "Approximation###approximation" and "Residual###residual"; those of slot B are called
/// ...###exact_b,
/// ###approximation_b and ###difference, which is A less B in place of the residual, and follow A's view. Window thread only; the
/// OpenGL context must be current in draw() and in the destructor. Tiles are computed in the background; `wake` is called from
/// there, or from draw(), when another frame should be drawn.
class AttentionMaps {
 public:
  explicit AttentionMaps(std::function<void()> wake, bool slot_b = false);

  void draw(const MapsInput& input, MapView& view);
  /// What went wrong with a copy, once; empty normally.
  std::string take_problem() { return selection_.take_problem(); }
  /// True when the last draw() showed everything it wanted to: nothing is under way.
  bool settled() const { return settled_; }

 private:
  /// One of the three, with what was found out about it in this frame.
  struct Panel {
    explicit Panel(convbasis::MapKind what) : place(what), kind(what) {}
    convbasis::MapKind place;  ///< whose window it is
    convbasis::MapKind kind;   ///< what it shows: the same unless the maps are flipped
    gl::Canvas canvas;
    /// Everything that the canvas was last drawn from: while it stays, so does the picture.
    struct Drawn {
      std::vector<gl::TileOnMap> tiles;
      CellWindow window;
      gl::MapColours colours;
      bool operator==(const Drawn&) const = default;
    };
    std::optional<Drawn> drawn;
    std::vector<convbasis::MapTileKey> keys;  ///< the tiles to be seen; none when the panel is hidden
    std::vector<gl::TileOnMap> tiles;         ///< those of them that are there
    int level = 0;
    float room = 0.0F;     ///< largest side that its map could have; 0 when hidden
    bool complete = true;  ///< all of them are there and were drawn
  };

  void follow_input(const MapsInput& input, MapView& view);
  void draw_panel(Panel& panel, const MapsInput& input, MapView& view);
  void draw_title(const Panel& panel, const MapsInput& input, MapView& view, const MapLayout& layout) const;
  void draw_map(Panel& panel, const MapsInput& input, MapView& view, const MapLayout& layout);
  void draw_lines_below(const Panel& panel, const MapsInput& input, const MapView& view, const MapLayout& layout);
  void draw_picture(Panel& panel, const MapView& view, const MapFrame& frame);
  std::vector<gl::TileOnMap> collect_tiles(Panel& panel, const MapView& view, const MapFrame& frame);
  void add_stand_ins(const convbasis::MapTileKey& key, std::vector<gl::TileOnMap>& tiles);
  void draw_overlay(const Panel& panel, const MapsInput& input, const MapView& view, const MapFrame& frame) const;
  void steer(MapView& view, const MapFrame& frame);
  void flip(bool flipped);
  void read_cell(const MapsInput& input, MapView& view);
  bool is_difference(convbasis::MapKind kind) const { return slot_b_ && kind == convbasis::MapKind::residual; }
  gl::MapColours colours(convbasis::MapKind kind, const MapView& view) const;
  void draw_menu(const MapsInput& input, MapView& view);
  std::string statistics_line(const Panel& panel, const MapsInput& input, const MapView& view);
  void want_tiles();
  convbasis::Index row_step(int level) const { return row_steps_[static_cast<std::size_t>(level)]; }
  bool prepare_next_frame(MapView& view);  ///< true when something changed that the next frame shows

  std::function<void()> wake_;
  bool slot_b_;
  bool comparable_ = false;        ///< slot B has a difference to show
  double difference_limit_ = 0.1;  ///< its colours reach from minus to plus this
  MapTiles tiles_;
  std::unique_ptr<gl::MapRenderer> renderer_;  // made in the first draw(), which has a context
  std::array<Panel, 3> panels_{Panel(convbasis::MapKind::exact), Panel(convbasis::MapKind::approximation),
                               Panel(convbasis::MapKind::residual)};
  MapRanges ranges_;
  MapSelection selection_;
  MapStarts starts_;
  std::string gl_problem_;  ///< why nothing can be drawn; empty normally
  bool settled_ = false;

  static constexpr int max_levels = 40;
  convbasis::Index size_ = 0;                             ///< n of the input, 0 without one
  std::array<convbasis::Index, max_levels> row_steps_{};  ///< by level: tiles look at one row in so many
  float largest_side_ = FLT_MAX;                          ///< of the maps, so that they are of one size
  CellWindow window_;           ///< what this frame shows, the same in all panels while the mouse already moves on
  bool hovered_now_ = false;    ///< one of the maps is under the mouse in this frame
  bool hover_is_ours_ = false;  ///< view.hovered was set here, so leaving the maps clears it
  std::optional<CellIndex> menu_cell_;
  std::optional<RowStatistics> row_statistics_;
  std::uint64_t row_statistics_id_ = 0;  ///< the exact_id that they are of
};

}  // namespace convscope
