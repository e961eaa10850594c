#include "panels/map_picture.h"

#include "panels/map_colours.h"
#include "panels/map_drawing.h"
#include "panels/map_layout.h"
#include "panels/map_options.h"
#include "panels/ui.h"
#include "view/map_tiling.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

namespace convscope {

using convbasis::Index;
using convbasis::MapKind;
using convbasis::MapTileKey;

namespace {

constexpr float gap_between_maps = 24.0F;
constexpr int all_tiles = std::numeric_limits<int>::max();

ImTextureID texture_id(GLuint name) { return static_cast<ImTextureID>(name); }

/// The parts of a map of fixed size, in points: those of the panel without token strip and statistics.
MapLayout lay_out(ImVec2 corner, Index n, int side) {
  const float line = ImGui::GetFontSize();
  const float grid = std::round(line / 2.0F);
  const float label = axis_label_width(n);
  MapLayout layout;
  layout.title = corner;
  layout.side = static_cast<float>(side);
  layout.axis_left = corner.x;
  layout.map = {corner.x + std::ceil(line + 1.5F * grid + label), corner.y + 3.0F * grid};
  layout.title_width = layout.map.x - corner.x + layout.side + std::ceil(std::max(grid, label / 2.0F));
  layout.ticks_y = layout.map.y + layout.side + std::round(0.75F * grid);
  layout.bar_y = layout.map.y + layout.side + 4.0F * grid;
  layout.bar_height = std::round(1.25F * grid);
  layout.strip = layout.statistics = false;
  return layout;
}

std::string residual_values(const MapView& view) {
  const bool score = view.quantity == convbasis::MapQuantity::score;
  return fmt::format("exact \u2212 approximation, {}", score ? "score" : "probability");
}

/// Which part of the map it is, and what its pixels stand for; empty for all cells of the whole map.
std::string describe(const MapView& view, Index n, int level, Index row_step) {
  std::string text;
  const CellWindow& window = view.window;
  if (window.extent < static_cast<double>(n)) {
    const auto last = [&](double origin) { return static_cast<Index>(std::ceil(origin + window.extent)) - 1; };
    text = fmt::format("rows {} to {}, columns {} to {}", static_cast<Index>(window.row), last(window.row),
                       static_cast<Index>(window.column), last(window.column));
  }
  if (level > 0) text += fmt::format("{}a pixel is the {} cells", text.empty() ? "" : " · ", level_name(level, view.pooling));
  if (row_step > 1) text += fmt::format(" · sampled 1/{}: one row in so many was looked at", row_step);
  return text;
}

}  // namespace

MapPicture::MapPicture(MapPictureInput input) : input_(std::move(input)) {
  const Index n = input_.analysis->n;
  input_.view.window = clamp_window(input_.view.window, n);
  level_ = level_for(input_.view.window.extent, side * input_.scale, n);
  row_step_ = convbasis::map_row_step(*input_.analysis, level_);
  input_.text.notes = describe(input_.view, n, level_, row_step_);
  for (const MapKind kind : input_.kinds) maps_.push_back({kind, {}, {}});
}

void MapPicture::compute(const convbasis::RunContext& context) {
  convbasis::RunContext quiet = context;
  quiet.progress = {};
  const auto pooling = level_ == 0 ? convbasis::Pooling::mean : input_.view.pooling;
  std::size_t done = 0;
  for (Map& map : maps_) {
    const auto keys =
        visible_tiles({map.kind, input_.view.quantity, pooling, level_, row_step_, 0, 0}, input_.view.window, input_.analysis->n);
    for (const MapTileKey& key : keys) {
      context.check();
      map.tiles.push_back(
          {key, std::make_shared<const convbasis::MapTile>(convbasis::compute_map_tile(*input_.analysis, key, quiet))});
      context.report("maps", static_cast<double>(++done) / static_cast<double>(keys.size() * maps_.size()));
    }
  }
}

PictureContents MapPicture::contents(std::shared_ptr<MapPicture> picture) {
  return {.prepare =
              [picture, first = true]() mutable {
                // The same tiles can be painted again, on another ground.
                if (std::exchange(first, false)) picture->forget_blocks();
                return picture->draw_next_block();
              },
          .measure = [picture] { return framed_size(picture->input_.text, picture->maps_size()); },
          .draw = [picture] { draw_framed(picture->input_.text, picture->maps_size(), [&picture] { picture->draw_maps(); }); }};
}

void MapPicture::forget_blocks() {
  for (Map& map : maps_) map.blocks.clear();
}

bool MapPicture::draw_next_block() {
  const auto all = static_cast<std::size_t>(input_.scale) * static_cast<std::size_t>(input_.scale);
  const auto map = std::ranges::find_if(maps_, [all](const Map& candidate) { return candidate.blocks.size() < all; });
  if (map == maps_.end()) return true;
  if (!renderer_) renderer_ = std::make_unique<gl::MapRenderer>();
  const auto place = map->blocks.size();
  CellWindow window = input_.view.window;
  window.extent /= input_.scale;
  window.row += window.extent * static_cast<double>(place / static_cast<std::size_t>(input_.scale));
  window.column += window.extent * static_cast<double>(place % static_cast<std::size_t>(input_.scale));
  gl::Canvas& canvas = map->blocks.emplace_back();
  canvas.resize(side, side);
  std::vector<gl::TileOnMap> seen;
  std::ranges::copy_if(map->tiles, std::back_inserter(seen), [&](const gl::TileOnMap& tile) {
    const CellWindow cells = cells_of(tile.key);
    return cells.row < window.row + window.extent && window.row < cells.row + cells.extent &&
           cells.column < window.column + window.extent && window.column < cells.column + cells.extent;
  });
  renderer_->draw(canvas, seen, window, input_.analysis->n, map_colours(map->kind, input_.view), all_tiles);
  glFinish();  // so that the time is spent here, a little at a time
  return false;
}

ImVec2 MapPicture::map_size() const {
  const MapLayout layout = lay_out({0.0F, 0.0F}, input_.analysis->n, side);
  const float grid = std::round(ImGui::GetFontSize() / 2.0F);
  return {layout.title_width, layout.bar_y + layout.bar_height + 3.0F * grid};
}

ImVec2 MapPicture::maps_size() const {
  const auto count = static_cast<float>(maps_.size());
  const ImVec2 size = map_size();
  return {count * size.x + (count - 1.0F) * gap_between_maps, size.y};
}

void MapPicture::draw_maps() {
  ImVec2 corner = ImGui::GetCursorScreenPos();
  for (const Map& map : maps_) {
    draw_map(map, corner);
    corner.x += map_size().x + gap_between_maps;
  }
}

void MapPicture::draw_map(const Map& map, ImVec2 corner) {
  const Index n = input_.analysis->n;
  const MapLayout layout = lay_out(corner, n, side);
  const MapFrame frame{layout.map, layout.side, input_.view.window};
  draw_title(map, corner, layout.title_width);
  ImDrawList& draw = *ImGui::GetWindowDrawList();
  const float block = layout.side / static_cast<float>(input_.scale);
  for (std::size_t i = 0; i < map.blocks.size(); ++i) {
    const ImVec2 low{layout.map.x + block * static_cast<float>(i % static_cast<std::size_t>(input_.scale)),
                     layout.map.y + block * static_cast<float>(i / static_cast<std::size_t>(input_.scale))};
    // OpenGL's pictures begin at the bottom.
    draw.AddImage(texture_id(map.blocks[i].texture()), low, {low.x + block, low.y + block}, {0.0F, 1.0F}, {1.0F, 0.0F});
  }
  draw_axes(frame, layout, n);
  if (map.kind == MapKind::approximation) {
    draw_segment_starts(frame, input_.analysis->recovery.basis, colour_of(Subject::conv, ui::is_dark()), std::nullopt);
  }
  const gl::MapColours colours = map_colours(map.kind, input_.view);
  if (level_ == 0) {
    draw_cell_numbers(frame, n, colours.scale, colour_table(colours.map), [&map](CellIndex cell) {
      for (const gl::TileOnMap& tile : map.tiles) {
        if (contains(tile.key, cell)) return (*tile.values)[pixel_of(tile.key, cell)];
      }
      return std::numeric_limits<float>::quiet_NaN();
    });
  }
  draw_colour_bar(layout, colours.scale, texture_id(renderer_->lookup(colours.map)));
}

void MapPicture::draw_title(const Map& map, ImVec2 corner, float width) const {
  const MapTitle title = title_of(map.kind, input_.analysis.get());
  ImDrawList& draw = *ImGui::GetWindowDrawList();
  const float line = ImGui::GetFontSize();
  const float radius = std::round(line * 0.35F);
  draw.AddCircleFilled({corner.x + radius, corner.y + line * 0.5F}, radius, ui::colour(colour_of(title.subject, ui::is_dark())));
  std::string words = title.text;
  if (map.kind == MapKind::approximation) words += "   " + describe_approximation(*input_.analysis);
  draw.AddText(ui::bold_font(), line, {corner.x + 2.0F * radius + std::round(line * 0.5F), corner.y},
               ImGui::GetColorU32(ImGuiCol_Text), words.c_str());
  const std::string values = map.kind == MapKind::residual ? residual_values(input_.view) : describe_values(input_.view);
  draw.AddText({corner.x + width - ImGui::CalcTextSize(values.c_str()).x, corner.y}, ImGui::GetColorU32(ImGuiCol_TextDisabled),
               values.c_str());
}

}  // namespace convscope
