/// \file
/// An exported picture of one or more maps: the cells that the window shows, with title, axes, colour bar and provenance.
#pragma once

#include "analysis/head_analysis.h"
#include "gl/map_renderer.h"
#include "panels/picture_parts.h"
#include "state/map_view.h"

#include <memory>
#include <vector>

namespace convscope {

struct MapPictureInput {
  std::shared_ptr<const convbasis::HeadAnalysis<float>> analysis;
  std::vector<convbasis::MapKind> kinds;  ///< side by side
  MapView view;                           ///< window, quantity, scale and range are those of the screen
  int scale = 1;                          ///< pixels for a point; more of them show finer cells
  PictureText text;
};

/// The stages in their order: compute() on any thread, then the functions of contents() on the window's.
class MapPicture {
 public:
  explicit MapPicture(MapPictureInput input);

  /// Side of a map in points.
  static constexpr int side = 512;
  int level() const { return level_; }  ///< zoom level of the tiles

  /// Computes the tiles. Throws Cancelled.
  void compute(const convbasis::RunContext& context);

  /// The picture, holding on to what it is made of; can be asked for again, for another painting after the first. Painting throws
  /// gl::Error.
  static PictureContents contents(std::shared_ptr<MapPicture> picture);

 private:
  /// One of the maps. It is drawn as scale x scale blocks of side x side pixels, so that no step takes long.
  struct Map {
    convbasis::MapKind kind;
    std::vector<gl::TileOnMap> tiles;
    std::vector<gl::Canvas> blocks;  ///< row by row, as far as they have been drawn
  };

  void forget_blocks();
  /// True when all were there already.
  bool draw_next_block();
  ImVec2 map_size() const;
  ImVec2 maps_size() const;
  void draw_maps();
  void draw_map(const Map& map, ImVec2 corner);
  void draw_title(const Map& map, ImVec2 corner, float width) const;

  MapPictureInput input_;
  int level_;
  convbasis::Index row_step_ = 1;  ///< see convbasis::map_row_step
  std::vector<Map> maps_;
  std::unique_ptr<gl::MapRenderer> renderer_;
};

}  // namespace convscope
