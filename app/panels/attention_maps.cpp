#include "panels/attention_maps.h"

#include "panels/map_colours.h"
#include "panels/map_drawing.h"
#include "panels/map_options.h"
#include "panels/map_tokens.h"
#include "panels/ui.h"
#include "view/map_tiling.h"
#include "view/ticks.h"

#include <fmt/format.h>
#include <imgui.h>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <iterator>
#include <limits>

namespace convscope {

using convbasis::Index;
using convbasis::MapKind;
using convbasis::MapTileKey;

namespace {

/// So many tiles become textures in one frame and panel; each takes well under a millisecond.
constexpr int uploads_per_frame = 8;
constexpr double zoom_per_notch = 1.25;
/// A whole row of scores is computed within a frame up to here.
constexpr Index most_tokens_of_a_row_at_once = 16384;

const char* window_of(MapKind kind, bool slot_b) {
  switch (kind) {
    case MapKind::exact:
      return slot_b ? "B exact###exact_b" : "Exact###exact";
    case MapKind::approximation:
      return slot_b ? "B approximation###approximation_b" : "Approximation###approximation";
    case MapKind::residual:
      return slot_b ? "A \u2212 B###difference" : "Residual###residual";
  }
  return "";
}

/// The segments of a fit are of equal mass, not to be moved; low rank has none.
bool has_starts_to_move(const convbasis::HeadAnalysis<float>& analysis) { return !analysis.fit && !analysis.rank; }

const char* help_of(MapKind kind, bool slot_b) {
  switch (kind) {
    case MapKind::exact:
      return "P = softmax(scale \u00b7 Q K\u1d40), causal: the share of attention that each query (down) gives each key "
             "(right).\n"
             "Drag to pan, wheel to zoom, double click for all, click to pin, Shift and drag to select, X to flip with the "
             "approximation.\n"
             "Zoomed out, a pixel is the mean or the peak of its cells; \u201csampled 1/s\u201d: of one row in s.";
    case MapKind::approximation:
      return "P~ = softmax(H), where H is made of k lag vectors: H(i, j) = u_r(i \u2212 j) for a key j in segment r.\n"
             "Lines mark where segments start; drag a mark under the map to try another segmentation.\n"
             "By fit: exact band and columns, a_i b_j g_r(i \u2212 j) elsewhere. By rank: the causal part of U \u03a3 V\u1d40, "
             "or "
             "weights \u03c6(q)\u00b7\u03c6(k).\n"
             "Same colours and range as the exact map.";
    case MapKind::residual:
      return slot_b ? "Head A less head B, cell by cell; white is no difference.\nThe Compare panel says which part of both.\n"
                      "Both need the same number of tokens."
                    : "P \u2212 P~, cell by cell: red where the approximation gives too little, blue where too much.\n"
                      "The range is symmetric and follows what is seen, unless locked.\n"
                      "White everywhere means that the head is a conv basis.";
  }
  return "";
}

/// The residual is white for the most part, the others are dark.
LineColours line_colours(MapKind kind) {
  if (kind == MapKind::residual) return {IM_COL32(120, 120, 120, 255), IM_COL32(120, 120, 120, 0)};
  if (ui::is_dark()) return {IM_COL32(255, 255, 255, 220), IM_COL32(0, 0, 0, 90)};
  return {IM_COL32(0, 0, 0, 200), IM_COL32(255, 255, 255, 110)};
}

bool is_causal(CellIndex cell, Index n) { return cell.column >= 0 && cell.column <= cell.row && cell.row < n; }

ImTextureID texture_id(GLuint name) { return static_cast<ImTextureID>(name); }

float text_width(const std::string& text) { return ImGui::CalcTextSize(text.c_str()).x; }

}  // namespace

AttentionMaps::AttentionMaps(std::function<void()> wake, bool slot_b)
    : wake_(std::move(wake)), slot_b_(slot_b), tiles_(wake_), selection_(wake_) {}

void AttentionMaps::draw(const MapsInput& input, MapView& view) {
  follow_input(input, view);
  selection_.follow(input.analysis, input.approximation_id, view);
  view.flipped = ImGui::IsKeyDown(ImGuiKey_X) && !ImGui::GetIO().WantTextInput && ImGui::GetIO().KeyMods == ImGuiMod_None;
  flip(view.flipped);
  hovered_now_ = false;
  for (Panel& panel : panels_) draw_panel(panel, input, view);

  if (!hovered_now_ && hover_is_ours_) view.hovered.reset();
  hover_is_ours_ = hovered_now_;
  if (!slot_b_) read_cell(input, view);
  want_tiles();
  const bool next_frame_differs = size_ > 0 && prepare_next_frame(view);
  settled_ = std::ranges::all_of(panels_, &Panel::complete) && !next_frame_differs && !tiles_.busy() && selection_.settled();
  if (next_frame_differs && wake_) wake_();
}

void AttentionMaps::read_cell(const MapsInput& input, MapView& view) {
  view.cell.reset();
  const auto cell = view.shown();
  if (cell && input.analysis && is_causal(*cell, size_)) {
    view.cell = convbasis::map_cell(*input.analysis, cell->row, cell->column);
  }
  const bool row_is_unknown = view.cell && std::isnan(view.cell->exact_probability);
  tiles_.want_row(row_is_unknown ? std::optional(cell->row) : std::nullopt);
}

gl::MapColours AttentionMaps::colours(MapKind kind, const MapView& view) const {
  if (!is_difference(kind)) return map_colours(kind, view);
  MapView own = view;
  own.residual_limit = difference_limit_;
  return map_colours(kind, own);
}

/// Exact and approximation change places; the windows stay where they are.
void AttentionMaps::flip(bool flipped) {
  panels_[0].kind = flipped ? MapKind::approximation : MapKind::exact;
  panels_[1].kind = flipped ? MapKind::exact : MapKind::approximation;
}

bool AttentionMaps::prepare_next_frame(MapView& view) {
  bool differs = !(view.window == window_);
  const Panel& exact = panels_[view.flipped ? 1 : 0];
  const Panel& residual = panels_[2];
  // Slot B shows its head in the colours of A's; the difference has a range of its own.
  if (!slot_b_ && exact.complete && !exact.tiles.empty()) differs |= ranges_.follow_exact(exact.tiles, view);
  if (residual.complete && !residual.tiles.empty()) {
    MapView own = view;
    own.residual_limit = difference_limit_;
    differs |= ranges_.follow_residual(residual.tiles, slot_b_ ? own : view);
    difference_limit_ = own.residual_limit;
  }

  float smallest = FLT_MAX;
  float largest = 0.0F;
  for (const Panel& panel : panels_) {
    if (panel.room < 1.0F) continue;
    smallest = std::min(smallest, panel.room);
    largest = std::max(largest, panel.room);
  }
  // Panels that differ by a few points get maps of one size; one that the user made much smaller does not shrink the others.
  const float side = largest <= 1.2F * smallest ? smallest : FLT_MAX;
  differs |= side != largest_side_;
  largest_side_ = side;
  return differs;
}

void AttentionMaps::follow_input(const MapsInput& input, MapView& view) {
  const Index n = input.analysis ? input.analysis->n : 0;
  if (n != size_ && !slot_b_) {
    view.fit();
    view.hovered.reset();
    view.pinned.reset();
    view.selection.reset();
  }
  size_ = n;
  tiles_.set_analysis(input.analysis, input.exact_id, input.approximation_id);
  comparable_ = input.other && input.other->n == n;
  if (slot_b_)
    tiles_.set_other(comparable_ ? input.other : nullptr, input.part, input.other_exact_id, input.other_approximation_id);
  for (int level = 0; level < max_levels; ++level) {
    row_steps_[static_cast<std::size_t>(level)] = input.analysis ? convbasis::map_row_step(*input.analysis, level) : 1;
  }
  if (n == 0) return;
  if (view.fit_wanted) view.window = fit_window(n);
  if (view.centre) view.window = centred_on(view.window, *view.centre, n);
  view.fit_wanted = false;
  view.centre.reset();
  view.window = clamp_window(view.window, n);
  window_ = view.window;
}

void AttentionMaps::draw_panel(Panel& panel, const MapsInput& input, MapView& view) {
  panel.keys.clear();
  panel.tiles.clear();
  panel.complete = true;
  panel.room = 0.0F;
  constexpr ImGuiWindowFlags flags = ImGuiWindowFlags_NoScrollbar | ImGuiWindowFlags_NoScrollWithMouse;
  const bool seen = ImGui::Begin(window_of(panel.place, slot_b_), nullptr, flags);
  const auto lay_out = [this, corner = ImGui::GetCursorScreenPos(), room = ImGui::GetContentRegionAvail()](float largest_side) {
    return lay_out_map(corner, room, axis_label_width(size_), ImGui::GetFontSize(), largest_side);
  };
  const MapLayout layout = lay_out(largest_side_);
  if (seen) panel.room = lay_out(FLT_MAX).side;
  if (seen) draw_title(panel, input, view, layout);
  if (seen && (!input.analysis || !gl_problem_.empty())) {
    ui::empty_state(gl_problem_.empty() ? "Drop q/k/v files here, or open the example" : gl_problem_);
  } else if (seen && is_difference(panel.kind) && !comparable_) {
    ui::empty_state("A difference needs the same n in A and in B.");
  } else if (seen && layout.side >= 1.0F) {
    draw_map(panel, input, view, layout);
    draw_lines_below(panel, input, view, layout);
  }
  ImGui::End();
}

void AttentionMaps::draw_map(Panel& panel, const MapsInput& input, MapView& view, const MapLayout& layout) {
  const MapFrame frame{layout.map, layout.side, window_};
  draw_picture(panel, view, frame);
  draw_axes(frame, layout, size_);
  draw_overlay(panel, input, view, frame);
  if (panel.kind == MapKind::approximation && !slot_b_ && has_starts_to_move(*input.analysis))
    starts_.steer(input.analysis->recovery.basis, frame, view);
  steer(view, frame);
  draw_menu(input, view);
}

void AttentionMaps::draw_lines_below(const Panel& panel, const MapsInput& input, const MapView& view, const MapLayout& layout) {
  const auto shown = view.shown();
  const auto tokens = input.tokens.first(std::min(input.tokens.size(), static_cast<std::size_t>(size_)));
  draw_token_strip(layout, tokens, shown && shown->column < size_ ? std::optional(shown->column) : std::nullopt);
  if (renderer_) {
    const gl::MapColours drawn_with = colours(panel.kind, view);
    draw_colour_bar(layout, drawn_with.scale, texture_id(renderer_->lookup(drawn_with.map)));
  }
  if (!layout.statistics) return;
  ImGui::SetCursorScreenPos({layout.map.x, layout.statistics_y});
  ImGui::PushFont(ui::mono_font(), ImGui::GetStyle().FontSizeBase * 0.875F);
  ui::fitted(statistics_line(panel, input, view), ImGui::GetColorU32(ImGuiCol_TextDisabled));
  ImGui::PopFont();
}

void AttentionMaps::draw_title(const Panel& panel, const MapsInput& input, MapView& view, const MapLayout& layout) const {
  const MapTitle text = title_of(panel.kind, input.analysis.get());
  ImDrawList& draw = *ImGui::GetWindowDrawList();
  const float line = ImGui::GetFontSize();
  const float radius = std::round(line * 0.35F);
  draw.AddCircleFilled({layout.title.x + radius, layout.title.y + line * 0.5F}, radius,
                       ui::colour(colour_of(text.subject, input.dark)));
  std::string title = is_difference(panel.kind) ? "A \u2212 B" : slot_b_ ? std::string("B  ") + text.text : text.text;
  if (panel.kind == MapKind::approximation && input.analysis) {
    title += "   " + describe_approximation(*input.analysis);
  }
  ui::help_mark(help_of(panel.kind, slot_b_));
  const float title_x = layout.title.x + 2.0F * radius + std::round(line * 0.5F);
  ImGui::SetCursorScreenPos({title_x, layout.title.y});
  ui::bold(title);
  const float title_end = ImGui::GetItemRectMax().x;

  std::string subtitle = describe_values(view);
  if (panel.kind == MapKind::approximation) subtitle = "same scale, locked";
  if (panel.kind == MapKind::residual) subtitle = "exact \u2212 approximation";
  if (is_difference(panel.kind)) subtitle = input.part == MapKind::exact ? "of exact attention" : "of the approximations";
  const float subtitle_x = layout.title.x + layout.title_width - 1.75F * line - text_width(subtitle);
  if (subtitle_x > title_end + line) {
    ImGui::SetCursorScreenPos({subtitle_x, layout.title.y});
    if (ImGui::InvisibleButton("subtitle", ImGui::CalcTextSize(subtitle.c_str()))) ImGui::OpenPopup("options");
    const ImGuiCol shade = ImGui::IsItemHovered() ? ImGuiCol_Text : ImGuiCol_TextDisabled;
    draw.AddText(ImGui::GetItemRectMin(), ImGui::GetColorU32(shade), subtitle.c_str());
    ui::tooltip("How the maps are drawn: values, scale, range, colours");
  }
  if (ImGui::BeginPopup("options")) {
    draw_map_options(view);
    ImGui::EndPopup();
  }
  ImGui::SetCursorScreenPos({layout.title.x, layout.title.y + 1.5F * line});
}

void AttentionMaps::draw_picture(Panel& panel, const MapView& view, const MapFrame& frame) {
  Panel::Drawn wanted{collect_tiles(panel, view, frame), frame.window, colours(panel.kind, view)};
  const ImVec2 scale = ImGui::GetIO().DisplayFramebufferScale;
  try {
    if (!renderer_) renderer_ = std::make_unique<gl::MapRenderer>();
    const bool resized = panel.canvas.resize(static_cast<int>(std::lround(frame.side * scale.x)),
                                             static_cast<int>(std::lround(frame.side * scale.y)));
    if (resized || panel.drawn != wanted) {
      const bool all = renderer_->draw(panel.canvas, wanted.tiles, wanted.window, size_, wanted.colours, uploads_per_frame);
      panel.drawn = all ? std::optional(std::move(wanted)) : std::nullopt;
      panel.complete = panel.complete && all;
      if (!all && wake_) wake_();
    }
  } catch (const gl::Error& error) {
    gl_problem_ = error.what();
    return;
  }
  // OpenGL's pictures begin at the bottom.
  ImGui::GetWindowDrawList()->AddImage(texture_id(panel.canvas.texture()), frame.corner, frame.far_corner(), {0.0F, 1.0F},
                                       {1.0F, 0.0F});
}

std::vector<gl::TileOnMap> AttentionMaps::collect_tiles(Panel& panel, const MapView& view, const MapFrame& frame) {
  panel.level = level_for(frame.window.extent, static_cast<double>(frame.side * ImGui::GetIO().DisplayFramebufferScale.x), size_);
  // Nothing is pooled at level 0; one name for both spares computing it twice.
  const auto pooling = panel.level == 0 || is_difference(panel.kind) ? convbasis::Pooling::mean : view.pooling;
  panel.keys = visible_tiles({panel.kind, view.quantity, pooling, panel.level, row_step(panel.level), 0, 0}, frame.window, size_);
  std::vector<gl::TileOnMap> tiles;
  for (const MapTileKey& key : panel.keys) {
    if (auto values = tiles_.find(key)) {
      panel.tiles.push_back({key, std::move(values)});
    } else {
      panel.complete = false;
      add_stand_ins(key, tiles);
    }
  }
  tiles.insert(tiles.end(), panel.tiles.begin(), panel.tiles.end());
  return tiles;
}

void AttentionMaps::add_stand_ins(const MapTileKey& key, std::vector<gl::TileOnMap>& tiles) {
  if (auto values = tiles_.find_earlier(key)) {
    tiles.push_back({key, std::move(values)});
    return;
  }
  for (auto parent = parent_of(key, size_); parent; parent = parent_of(*parent, size_)) {
    parent->row_step = row_step(parent->level);
    if (auto values = tiles_.find(*parent)) {
      tiles.push_back({*parent, std::move(values)});
      return;
    }
  }
  for (MapTileKey& child : children_of(key)) {
    child.row_step = row_step(child.level);
    if (auto values = tiles_.find(child)) tiles.push_back({child, std::move(values)});
  }
}

void AttentionMaps::draw_overlay(const Panel& panel, const MapsInput& input, const MapView& view, const MapFrame& frame) const {
  const auto shown = view.shown();
  if (panel.kind == MapKind::approximation) {
    draw_segment_starts(frame, input.analysis->recovery.basis, colour_of(Subject::conv, input.dark), shown);
  }
  if (panel.level == 0) {
    const gl::MapColours drawn_with = colours(panel.kind, view);
    draw_cell_numbers(frame, size_, drawn_with.scale, colour_table(drawn_with.map), [&panel](CellIndex cell) {
      for (const gl::TileOnMap& tile : panel.tiles) {
        if (contains(tile.key, cell)) return (*tile.values)[pixel_of(tile.key, cell)];
      }
      return std::numeric_limits<float>::quiet_NaN();
    });
  }
  MapSelection::draw(view, frame, line_colours(panel.kind).core);
  if (view.pinned) draw_outline(frame, *view.pinned, line_colours(panel.kind));
  if (shown) draw_crosshair(frame, *shown, line_colours(panel.kind));
  std::vector<std::string> badges;
  if (panel.level > 0) badges.push_back(level_name(panel.level, view.pooling));
  if (const Index step = row_step(panel.level); step > 1) badges.push_back(fmt::format("sampled 1/{}", step));
  if (input.stale || !panel.complete) badges.emplace_back("computing \u2026");
  std::ranges::move(selection_.lines(view, panel.kind), std::back_inserter(badges));
  draw_badges(frame, badges);
}

void AttentionMaps::steer(MapView& view, const MapFrame& frame) {
  ImGui::SetCursorScreenPos(frame.corner);
  ImGui::InvisibleButton("map", {frame.side, frame.side});
  const ImGuiIO& io = ImGui::GetIO();
  const double cells_per_point = frame.window.extent / static_cast<double>(frame.side);
  const double row = frame.row_at(io.MousePos.y);
  const double column = frame.column_at(io.MousePos.x);
  const CellIndex cell{static_cast<Index>(std::floor(row)), static_cast<Index>(std::floor(column))};
  const bool selecting = selection_.steer(view, cell, size_);
  if (!selecting && ImGui::IsItemActive() && (io.MouseDelta.x != 0.0F || io.MouseDelta.y != 0.0F)) {
    view.window = panned(view.window, -io.MouseDelta.y * cells_per_point, -io.MouseDelta.x * cells_per_point, size_);
  }
  const bool on_matrix = cell.row >= 0 && cell.column >= 0 && cell.row < size_ && cell.column < size_;
  const bool moved = io.MouseDragMaxDistanceSqr[ImGuiMouseButton_Left] > io.MouseDragThreshold * io.MouseDragThreshold;
  if (ImGui::IsItemDeactivated() && !moved && !selecting && on_matrix) {
    view.pinned = view.pinned == cell ? std::nullopt : std::optional(cell);
  }
  if (!ImGui::IsItemHovered() || !on_matrix) return;
  ImGui::SetItemKeyOwner(ImGuiKey_MouseWheelY);
  if (io.MouseWheel != 0.0F) view.window = zoomed(view.window, std::pow(zoom_per_notch, io.MouseWheel), row, column, size_);
  if (ImGui::IsMouseDoubleClicked(ImGuiMouseButton_Left)) view.fit();
  if (ImGui::IsMouseClicked(ImGuiMouseButton_Right)) {
    menu_cell_ = cell;
    ImGui::OpenPopup("cell");
  }
  view.hovered = cell;
  hovered_now_ = true;
}

void AttentionMaps::draw_menu(const MapsInput& input, MapView& view) {
  if (!ImGui::BeginPopup("cell")) return;
  if (menu_cell_) {
    const auto [row, column] = *menu_cell_;
    const bool causal = is_causal(*menu_cell_, size_);
    const auto& analysis = *input.analysis;
    ui::dim(fmt::format("query {}, key {}", row, column));
    if (ImGui::MenuItem("Copy value", nullptr, false, causal)) {
      const CellValues values = values_of(convbasis::map_cell(analysis, row, column), view.quantity);
      ImGui::SetClipboardText(
          fmt::format("{:.9g}\t{:.9g}\t{:.9g}", values.exact, values.approximate, values.difference()).c_str());
    }
    ui::tooltip("exact, approximate and their difference");
    if (ImGui::MenuItem("Copy row", nullptr, false, row < size_)) {
      selection_.copy(input.analysis, {row, 0, 1, size_}, view.quantity);
    }
    if (ImGui::MenuItem("Copy column", nullptr, false, column < size_)) {
      selection_.copy(input.analysis, {column, column, size_, 1}, view.quantity);
    }
    if (ImGui::MenuItem("Copy selection", nullptr, false, view.selection.has_value())) {
      selection_.copy(input.analysis, *view.selection, view.quantity);
    }
    ui::tooltip("Drag with Shift held to select cells");
    if (ImGui::MenuItem("Clear selection", nullptr, false, view.selection.has_value())) view.selection.reset();
    ImGui::Separator();
    const bool pinned = view.pinned == menu_cell_;
    if (!slot_b_ && has_starts_to_move(*input.analysis)) MapStarts::draw_menu(input.analysis->recovery.basis, column, view);
    if (ImGui::MenuItem(pinned ? "Unpin" : "Pin")) view.pinned = pinned ? std::nullopt : menu_cell_;
  }
  if (ImGui::MenuItem("Fit")) view.fit();
  if (ImGui::BeginMenu("Values and colours")) {
    draw_map_options(view);
    ImGui::EndMenu();
  }
  ImGui::EndPopup();
}

std::string AttentionMaps::statistics_line(const Panel& panel, const MapsInput& input, const MapView& view) {
  if (!tiles_.failure().empty()) return tiles_.failure();
  switch (panel.kind) {
    case MapKind::approximation:
      return error_line(input.analysis->error);
    case MapKind::residual:
      if (slot_b_) return ranges_.largest_residual() ? "max |difference| " + short_number(*ranges_.largest_residual()) : "";
      return residual_line(input.analysis->error, ranges_.largest_residual(), level_name(panel.level, view.pooling));
    case MapKind::exact:
      break;
  }
  if (size_ > most_tokens_of_a_row_at_once) return "";
  const auto shown = view.shown();
  const Index row = shown && shown->row < size_ ? shown->row : size_ - 1;
  if (!row_statistics_ || row_statistics_->row != row || row_statistics_id_ != input.exact_id) {
    row_statistics_ = row_statistics(*input.analysis, row);
    row_statistics_id_ = input.exact_id;
  }
  return text_of(*row_statistics_);
}

void AttentionMaps::want_tiles() {
  std::vector<MapTileKey> keys;
  std::size_t longest = 0;
  for (const Panel& panel : panels_) longest = std::max(longest, panel.keys.size());
  // The middle of all three maps comes before the edge of any.
  for (std::size_t i = 0; i < longest; ++i) {
    for (const Panel& panel : panels_) {
      if (i < panel.keys.size()) keys.push_back(panel.keys[i]);
    }
  }
  tiles_.want(std::move(keys));
}

}  // namespace convscope
