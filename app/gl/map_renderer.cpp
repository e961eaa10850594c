#include "gl/map_renderer.h"

#include "gl/map_shader.h"
#include "view/map_tiling.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace convscope::gl {
namespace {

using convbasis::MapTile;

/// 256 KiB each, so 64 MiB; three maps of a large screen show about 30 tiles.
constexpr std::size_t most_textures = 256;

/// The tile's (left, bottom, right, top) in clip space. Rows grow downwards, clip space grows upwards.
std::array<float, 4> clip_rectangle(const CellWindow& tile, const CellWindow& window) {
  const auto across = [&](double column) { return static_cast<float>((column - window.column) / window.extent * 2.0 - 1.0); };
  const auto up = [&](double row) { return static_cast<float>(1.0 - (row - window.row) / window.extent * 2.0); };
  return {across(tile.column), up(tile.row + tile.extent), across(tile.column + tile.extent), up(tile.row)};
}

float transformed(const ColourScale& scale, double value) {
  switch (scale.kind) {
    case ScaleKind::linear:
      return static_cast<float>(value);
    case ScaleKind::log:
      return static_cast<float>(std::log(value));
    case ScaleKind::symlog:
      return static_cast<float>(std::asinh(value / scale.linear_width()));
  }
  return 0.0F;
}

}  // namespace

MapRenderer::MapRenderer() : program_(map_vertex_shader, map_fragment_shader) {
  // Core profile draws nothing without a vertex array, even when no attribute is read.
  GLuint name = 0;
  glGenVertexArrays(1, &name);
  vertex_array_ = VertexArrayHandle(name);
}

bool MapRenderer::draw(Canvas& canvas, std::span<const TileOnMap> tiles, const CellWindow& window, convbasis::Index n,
                       const MapColours& colours, int uploads) {
  const SavedTarget saved;
  glBindFramebuffer(GL_FRAMEBUFFER, canvas.framebuffer());
  glViewport(0, 0, canvas.width(), canvas.height());
  for (const GLenum feature : {GL_BLEND, GL_DEPTH_TEST, GL_CULL_FACE, GL_SCISSOR_TEST, GL_STENCIL_TEST}) glDisable(feature);
  glClearColor(colours.masked.r, colours.masked.g, colours.masked.b, 1.0F);
  glClear(GL_COLOR_BUFFER_BIT);

  glUseProgram(program_.name());
  glBindVertexArray(vertex_array_.get());
  set_colours(colours);
  bool complete = true;
  glActiveTexture(GL_TEXTURE0);
  for (const TileOnMap& tile : tiles) {
    const ValueTexture* texture = texture_of(tile.values, uploads);
    if (texture == nullptr) {
      complete = false;
      continue;
    }
    glBindTexture(GL_TEXTURE_2D, texture->name());
    const auto place = clip_rectangle(cells_of(tile.key), window);
    glUniform4fv(program_.uniform("place"), 1, place.data());
    const auto first = [](convbasis::Index index) { return static_cast<GLint>(index * convbasis::map_tile_size); };
    glUniform2i(program_.uniform("first_pixel"), first(tile.key.row), first(tile.key.column));
    glUniform1i(program_.uniform("pixels"), static_cast<GLint>(((n - 1) >> tile.key.level) + 1));
    glDrawArrays(GL_TRIANGLE_STRIP, 0, 4);
  }
  glBindVertexArray(0);
  glUseProgram(0);
  forget_old_textures();
  return complete;
}

GLuint MapRenderer::lookup(ColourMap map) {
  auto place = lookups_.find(map);
  if (place == lookups_.end()) place = lookups_.emplace(map, LookupTexture(colour_table(map))).first;
  return place->second.name();
}

const ValueTexture* MapRenderer::texture_of(const std::shared_ptr<const MapTile>& values, int& uploads) {
  auto place = textures_.find(values.get());
  if (place == textures_.end()) {
    if (uploads <= 0) return nullptr;
    --uploads;
    ValueTexture texture(*values, static_cast<int>(convbasis::map_tile_size));
    place = textures_.emplace(values.get(), TileTexture{values, std::move(texture)}).first;
  }
  place->second.last_use = ++uses_;
  return &place->second.texture;
}

void MapRenderer::forget_old_textures() {
  while (textures_.size() > most_textures) {
    textures_.erase(std::min_element(textures_.begin(), textures_.end(),
                                     [](const auto& a, const auto& b) { return a.second.last_use < b.second.last_use; }));
  }
}

void MapRenderer::set_colours(const MapColours& colours) {
  glActiveTexture(GL_TEXTURE1);
  glBindTexture(GL_TEXTURE_2D, lookup(colours.map));
  glUniform1i(program_.uniform("values"), 0);
  glUniform1i(program_.uniform("lookup"), 1);
  glUniform1i(program_.uniform("scale_kind"), static_cast<GLint>(colours.scale.kind));
  glUniform1f(program_.uniform("linear_width"), static_cast<float>(colours.scale.linear_width()));
  glUniform2f(program_.uniform("range"), transformed(colours.scale, colours.scale.range.lo),
              transformed(colours.scale, colours.scale.range.hi));
  glUniform3f(program_.uniform("masked"), colours.masked.r, colours.masked.g, colours.masked.b);
  glUniform3f(program_.uniform("not_a_number"), colours.not_a_number.r, colours.not_a_number.g, colours.not_a_number.b);
}

}  // namespace convscope::gl
