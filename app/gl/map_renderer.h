/// \file
/// Draws tiles of values into a picture, with the colours computed in the fragment shader: another range, scale or colour map
/// costs nothing.
#pragma once

#include "analysis/map_tile.h"
#include "gl/objects.h"
#include "view/colour_scale.h"
#include "view/map_geometry.h"

#include <cstdint>
#include <map>
#include <memory>
#include <span>

namespace convscope::gl {

/// A tile to be drawn. Later ones are drawn over earlier ones, so coarse stand-ins come first.
struct TileOnMap {
  convbasis::MapTileKey key;
  std::shared_ptr<const convbasis::MapTile> values;
  bool operator==(const TileOnMap&) const = default;
};

/// How values become colours.
struct MapColours {
  ColourScale scale;
  ColourMap map = ColourMap::viridis;
  Rgb masked;        ///< above the diagonal and outside of the matrix
  Rgb not_a_number;  ///< NaN below the diagonal, and infinities
  bool operator==(const MapColours&) const = default;
};

/// Keeps the textures of recently drawn tiles. Make it with a current context.
class MapRenderer {
 public:
  MapRenderer();

  /// Fills `canvas` with the cells of `window` of an n x n map: row up is picture up. Uploads at most `uploads` tiles that
  /// have no texture yet; false means that some were left out and the picture should be drawn again. The bound framebuffer and
  /// the viewport are restored. Throws Error.
  bool draw(Canvas& canvas, std::span<const TileOnMap> tiles, const CellWindow& window, convbasis::Index n,
            const MapColours& colours, int uploads);

  /// The colours of a map as a 256 x 1 texture, for its colour bar.
  GLuint lookup(ColourMap map);

 private:
  struct TileTexture {
    std::shared_ptr<const convbasis::MapTile> values;  // kept, so that the address stays a name for the values
    ValueTexture texture;
    std::uint64_t last_use = 0;
  };

  /// Null when there is no texture yet and `uploads` is used up.
  const ValueTexture* texture_of(const std::shared_ptr<const convbasis::MapTile>& values, int& uploads);
  void forget_old_textures();
  void set_colours(const MapColours& colours);

  Program program_;
  VertexArrayHandle vertex_array_;
  std::map<ColourMap, LookupTexture> lookups_;
  std::map<const convbasis::MapTile*, TileTexture> textures_;
  std::uint64_t uses_ = 0;
};

}  // namespace convscope::gl
