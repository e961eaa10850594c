#include "panels/heads_overview.h"

#include "panels/ui.h"
#include "view/thumbnail.h"
#include "view/ticks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

namespace convscope {

namespace {

/// A third of a millisecond each at most.
constexpr int pictures_per_frame = 24;
constexpr float faded = 0.18F;

/// How a number becomes a colour.
struct NumberScale {
  ColourScale scale;
  bool bright_is_low = false;  ///< of errors and k the small ones are the good ones
  const ColourTable& table;

  Rgb colour(double value) const {
    const double position = std::clamp(scale.position(value), 0.0, 1.0);
    return colour_at(table, bright_is_low ? 1.0 - position : position);
  }
};

NumberScale number_scale(HeadsShow show, const HeadsOverviewInput& input) {
  static const ColourTable table = colour_table(ColourMap::cividis);
  const auto n = static_cast<double>(std::max<Index>(input.n, 2));
  switch (show) {
    case HeadsShow::k_for_target:
      return {
          {ScaleKind::log, {1.0, std::max(2.0, std::min(n, static_cast<double>(input.options.summary.most_k)))}}, true, table};
    case HeadsShow::rank_one:
    case HeadsShow::one_lag_vector:
    case HeadsShow::lag_vectors:
      // Fits leave a few hundredths, which would all look the same between 0 and 1.
      return {{ScaleKind::log, {0.01, 1.0}}, true, table};
    case HeadsShow::rung:
      return {{ScaleKind::linear, {1.0, static_cast<double>(rung_count)}}, true, table};
    case HeadsShow::entropy:
      return {{ScaleKind::linear, {0.0, std::log2(n)}}, false, table};
    case HeadsShow::sink:
    case HeadsShow::band:
      return {{ScaleKind::linear, {0.0, 1.0}}, false, table};
    default:
      return {{ScaleKind::linear, {0.0, 1.0}}, true, table};
  }
}

/// As the maps draw what is above their diagonal.
Rgb masked_colour() {
  const ImVec4& ground = ImGui::GetStyleColorVec4(ImGuiCol_WindowBg);
  const ImVec4& text = ImGui::GetStyleColorVec4(ImGuiCol_Text);
  const float share = ui::is_dark() ? 0.04F : 0.1F;
  const auto mix = [share](float a, float b) { return a + share * (b - a); };
  return {mix(ground.x, text.x), mix(ground.y, text.y), mix(ground.z, text.z)};
}

/// Labels only where they do not touch: every 1st, 2nd, 5th, 10th, ... one.
Index label_step(float cell, float needed) {
  for (Index decade = 1;; decade *= 10) {
    for (const Index step : {decade, 2 * decade, 5 * decade}) {
      if (cell * static_cast<float>(step) >= needed) return step;
    }
  }
}

/// Black or white.
ImU32 colour_on(Rgb fill) { return luminance(fill) > 0.35 ? IM_COL32(0, 0, 0, 255) : IM_COL32(255, 255, 255, 255); }

/// Nothing where it does not fit.
void draw_centred(const std::string& text, ImVec2 low, ImVec2 high, ImU32 text_colour) {
  const ImVec2 size = ImGui::CalcTextSize(text.c_str());
  if (size.x + 4.0F > high.x - low.x || size.y > high.y - low.y) return;
  ImGui::GetWindowDrawList()->AddText(
      {std::round((low.x + high.x - size.x) / 2.0F), std::round((low.y + high.y - size.y) / 2.0F)}, text_colour, text.c_str());
}

/// One character for a rung, as a cell has no room for its name: c, b, m, r, 1, k.
std::string_view rung_letter(double place) {
  constexpr std::string_view letters = "cbmr1k";
  static_assert(letters.size() == rung_count);
  return letters.substr(static_cast<std::size_t>(place) - 1, 1);
}

void draw_number(const HeadRow& row, HeadsShow show, const NumberScale& scale, ImVec2 low, ImVec2 high, float alpha) {
  ImDrawList* draw = ImGui::GetWindowDrawList();
  const double value = head_value(row, column_of(show));
  if (std::isnan(value)) {
    draw->AddRectFilled(low, high, ImGui::GetColorU32(ImGuiCol_FrameBg, alpha));
    return;
  }
  ImU32 text_colour = ImGui::GetColorU32(ImGuiCol_TextDisabled, alpha);
  if (std::isinf(value)) {
    draw->AddRect(low, high, ImGui::GetColorU32(ImGuiCol_Border, alpha));
  } else {
    const Rgb fill = scale.colour(value);
    draw->AddRectFilled(low, high, ui::colour(fill, alpha));
    text_colour = ImGui::GetColorU32(colour_on(fill), alpha * (head_stale(row, column_of(show)) ? 0.5F : 1.0F));
  }
  ImGui::PushFont(ui::mono_font());
  if (show == HeadsShow::rung && std::isfinite(value)) {
    draw_centred(std::string(rung_letter(value)), low, high, text_colour);
    ImGui::PopFont();
    return;
  }
  const bool measured = std::isfinite(value) && show != HeadsShow::k_for_target;
  std::string text = measured ? short_number(value, 2) : head_text(row, column_of(show));
  if (measured && ImGui::CalcTextSize(text.c_str()).x + 4.0F > high.x - low.x) text = short_number(value, 1);
  draw_centred(text, low, high, text_colour);
  ImGui::PopFont();
}

/// A bar of colours with its ticks below, `width` wide, at the cursor.
void draw_bar(const NumberScale& scale, float width) {
  ImDrawList* draw = ImGui::GetWindowDrawList();
  const float line = ImGui::GetFontSize();
  const ImVec2 corner = ImGui::GetCursorScreenPos();
  const float height = std::round(0.6F * line);
  constexpr int steps = 64;
  const auto x_of = [&](double position) { return corner.x + width * static_cast<float>(position); };
  for (int step = 0; step < steps; ++step) {
    const double middle = (step + 0.5) / steps;
    draw->AddRectFilled({std::floor(x_of(step / static_cast<double>(steps))), corner.y},
                        {std::floor(x_of((step + 1) / static_cast<double>(steps))), corner.y + height},
                        ui::colour(scale.colour(scale.scale.value_at(middle))));
  }
  // Decades would leave a k of 1 to 256 with three labels; powers of four read better.
  std::vector<Tick> ticks;
  if (scale.scale.kind == ScaleKind::log && scale.scale.range.lo >= 1.0) {
    for (double k = scale.scale.range.lo; k <= scale.scale.range.hi; k *= 4.0) ticks.push_back({k, short_number(k, 3), ""});
    for (Tick& tick : ticks) tick.text = fmt::format("{:.0f}", tick.value);
  } else {
    ticks = scale_ticks(scale.scale, 5);
    if (scale.scale.kind == ScaleKind::log) {
      for (Tick& tick : ticks) {
        if (!tick.text.empty()) tick.text = fmt::format("{:.3g}", tick.value);  // 0.01 rather than a power with its exponent
      }
    }
  }
  for (const Tick& tick : ticks) {
    if (tick.text.empty()) continue;
    const float x = std::floor(x_of(scale.scale.position(tick.value)));
    const float text_width = ImGui::CalcTextSize(tick.text.c_str()).x;
    draw->AddText({std::clamp(std::round(x - text_width / 2.0F), corner.x, corner.x + width - text_width), corner.y + height},
                  ImGui::GetColorU32(ImGuiCol_TextDisabled), tick.text.c_str());
  }
  ImGui::Dummy({width, height + line});
}

/// What the colours and letters of rungs stand for, from the cursor on, as many to a line as fit in `width`; gives the height.
/// Without `scale` only that.
float draw_rungs(const NumberScale* scale, float width) {
  const float line = ImGui::GetFontSize();
  const float row = std::round(1.3F * line);
  const ImVec2 corner = ImGui::GetCursorScreenPos();
  ImDrawList* draw = ImGui::GetWindowDrawList();
  ImVec2 low = corner;
  for (std::size_t place = 1; place <= rung_count + 1; ++place) {
    const std::string name(place > rung_count ? "none" : rung_name(place));
    const float needed = 1.5F * line + ImGui::CalcTextSize(name.c_str()).x;
    if (low.x > corner.x && low.x + needed > corner.x + width) low = {corner.x, low.y + row};
    const ImVec2 high{low.x + 1.2F * line, low.y + line};
    if (scale != nullptr && place > rung_count) draw->AddRect(low, high, ImGui::GetColorU32(ImGuiCol_Border));
    if (scale != nullptr && place <= rung_count) {
      const Rgb fill = scale->colour(static_cast<double>(place));
      draw->AddRectFilled(low, high, ui::colour(fill));
      ImGui::PushFont(ui::mono_font());
      draw_centred(std::string(rung_letter(static_cast<double>(place))), {low.x, low.y - 1.0F}, {high.x, high.y + 1.0F},
                   colour_on(fill));
      ImGui::PopFont();
    }
    if (scale != nullptr) draw->AddText({low.x + 1.5F * line, low.y}, ImGui::GetColorU32(ImGuiCol_TextDisabled), name.c_str());
    low.x += needed + line;
  }
  return low.y + row - corner.y;
}

}  // namespace

HeadColumn column_of(HeadsShow show) {
  switch (show) {
    case HeadsShow::maps:
    case HeadsShow::error:
      return HeadColumn::error;
    case HeadsShow::k_for_target:
      return HeadColumn::k_for_target;
    case HeadsShow::rank_one:
      return HeadColumn::rank_one;
    case HeadsShow::one_lag_vector:
      return HeadColumn::one_lag_vector;
    case HeadsShow::lag_vectors:
      return HeadColumn::lag_vectors;
    case HeadsShow::rung:
      return HeadColumn::rung;
    case HeadsShow::entropy:
      return HeadColumn::entropy;
    case HeadsShow::sink:
      return HeadColumn::sink;
    case HeadsShow::band:
      return HeadColumn::band;
  }
  return HeadColumn::error;
}

const char* name_of(HeadsShow show) {
  switch (show) {
    case HeadsShow::maps:
      return "maps";
    case HeadsShow::error:
      return "error";
    case HeadsShow::k_for_target:
      return "k";
    case HeadsShow::rank_one:
      return "rank one";
    case HeadsShow::one_lag_vector:
      return "1 lag";
    case HeadsShow::lag_vectors:
      return "k lags";
    case HeadsShow::rung:
      return "rung";
    case HeadsShow::entropy:
      return "entropy";
    case HeadsShow::sink:
      return "sink";
    case HeadsShow::band:
      return "band";
  }
  return "";
}

/// Where cells lie. Layers go down and heads across, or the other way round where that makes the cells larger.
struct HeadsOverview::Geometry {
  ImVec2 origin;
  ImVec2 cell;
  Index layers = 0, heads = 0;
  bool layers_across = false;

  Index rows() const { return layers_across ? heads : layers; }
  Index columns() const { return layers_across ? layers : heads; }
  ImVec2 corner(Index row, Index column) const {
    return {std::round(origin.x + cell.x * static_cast<float>(column)), std::round(origin.y + cell.y * static_cast<float>(row))};
  }
  ImVec2 corner_of(Index layer, Index head) const { return layers_across ? corner(head, layer) : corner(layer, head); }
  ImVec2 end_of(Index layer, Index head) const {
    const ImVec2 end = layers_across ? corner(head + 1, layer + 1) : corner(layer + 1, head + 1);
    return {end.x - 2.0F, end.y - 2.0F};
  }

  Geometry(const HeadsOverviewInput& input, ImVec2 room, ImVec2 margin, bool square) {
    layers = static_cast<Index>(input.layers.size());
    for (const auto& layer : input.layers) heads = std::max(heads, layer.heads);
    const ImVec2 free{room.x - margin.x, room.y - margin.y};
    const auto side = [&](Index across, Index down) {
      return std::min(free.x / static_cast<float>(across), free.y / static_cast<float>(down));
    };
    layers_across = side(layers, heads) > side(heads, layers);
    const float em = ImGui::GetFontSize();
    const float least = (square ? 1.8F : 1.3F) * em;
    const float largest = (square ? 10.0F : 3.0F) * em;
    const float fitting = std::clamp(side(columns(), rows()), least, largest);
    cell = {fitting, fitting};
    if (!square) {
      cell.x = std::clamp(free.x / static_cast<float>(columns()), 1.3F * em, 5.5F * em);
      cell.y = std::clamp(free.y / static_cast<float>(rows()), least, largest);
    }
    const ImVec2 at = ImGui::GetCursorScreenPos();
    origin = {at.x + margin.x, at.y + margin.y};
  }

  void draw_labels(std::span<const convbasis::LayerInfo> infos) const {
    ImDrawList* draw = ImGui::GetWindowDrawList();
    const ImU32 dimmed = ImGui::GetColorU32(ImGuiCol_TextDisabled);
    const float em = ImGui::GetFontSize();
    const auto label = [&](bool layer, Index index) {
      return fmt::format("{}", layer ? infos[static_cast<std::size_t>(index)].layer : index);
    };
    // "head 0" down and "layer" before the numbers across, or the other way round.
    const char* const across = layers_across ? "layer" : "head";
    const ImVec2 size_across = ImGui::CalcTextSize(across);
    draw->AddText({origin.x - size_across.x - 0.4F * em, origin.y - size_across.y - 2.0F}, dimmed, across);
    for (Index row = 0; row < rows(); row += label_step(cell.y, em)) {
      const std::string text = (layers_across ? "head " : "layer ") + label(!layers_across, row);
      const ImVec2 size = ImGui::CalcTextSize(text.c_str());
      const ImVec2 at = corner(row, 0);
      draw->AddText({at.x - size.x - 0.4F * em, std::round(at.y + (cell.y - 2.0F - size.y) / 2.0F)}, dimmed, text.c_str());
    }
    for (Index column = 0; column < columns(); column += label_step(cell.x, 1.6F * em)) {
      const std::string text = label(layers_across, column);
      const ImVec2 size = ImGui::CalcTextSize(text.c_str());
      const ImVec2 at = corner(0, column);
      draw->AddText({std::round(at.x + (cell.x - 2.0F - size.x) / 2.0F), at.y - size.y - 2.0F}, dimmed, text.c_str());
    }
  }
};

std::optional<HeadSurvey::LayerHead> HeadsOverview::draw(const HeadsOverviewInput& input, HeadsShow show, ColourMap map) {
  if (show == HeadsShow::maps) colour_pictures(input, map);
  const float em = ImGui::GetFontSize();
  const NumberScale scale = number_scale(show, input);
  const bool square = show == HeadsShow::maps;
  const ImVec2 margin{ImGui::CalcTextSize("layer 00").x + 0.6F * em, 1.3F * em};
  const ImVec2 left = ImGui::GetContentRegionAvail();
  const float legend = show == HeadsShow::rung ? draw_rungs(nullptr, left.x - margin.x) + 0.6F * em : 2.2F * em;
  const ImVec2 room{left.x, left.y - (square ? 0.0F : legend)};
  // The bar stands directly under the cells.
  const Geometry whole(input, room, margin, square);
  const float height = whole.corner(whole.rows(), 0).y - ImGui::GetCursorScreenPos().y;
  ImGui::BeginChild("overview", {0.0F, std::max(1.0F, std::min(room.y, height + ImGui::GetStyle().ScrollbarSize))},
                    ImGuiChildFlags_None, ImGuiWindowFlags_HorizontalScrollbar);
  const Geometry geometry(input, ImGui::GetContentRegionAvail(), margin, square);
  const ImVec2 start = ImGui::GetCursorScreenPos();
  const ImVec2 end = geometry.corner(geometry.rows(), geometry.columns());
  const bool clicked = ImGui::InvisibleButton("grid", {std::max(end.x - start.x, 1.0F), std::max(end.y - start.y, 1.0F)});
  const bool hovered = ImGui::IsItemHovered();
  const ImVec2 mouse = ImGui::GetIO().MousePos;
  ImDrawList* draw = ImGui::GetWindowDrawList();
  std::optional<std::size_t> pointed;
  Index row_of_layer = 0;
  std::size_t index = 0;
  for (const auto& layer : input.layers) {
    for (Index head = 0; head < layer.heads; ++head, ++index) {
      const ImVec2 low = geometry.corner_of(row_of_layer, head);
      const ImVec2 high = geometry.end_of(row_of_layer, head);
      if (!ImGui::IsRectVisible(low, high)) continue;
      const float alpha = input.passed[index] ? 1.0F : faded;
      if (show == HeadsShow::maps) {
        draw_map(input, index, low, high, alpha);
      } else {
        draw_number(input.rows[index], show, scale, low, high, alpha);
      }
      if (input.current == HeadSurvey::LayerHead{layer.layer, head}) {
        draw->AddRect({low.x - 2.0F, low.y - 2.0F}, {high.x + 2.0F, high.y + 2.0F}, ImGui::GetColorU32(ImGuiCol_Text), 0.0F, 0,
                      2.0F);
      }
      const bool inside = mouse.x >= low.x && mouse.x < high.x && mouse.y >= low.y && mouse.y < high.y;
      if (hovered && inside) {
        pointed = index;
        draw->AddRect(low, high, ImGui::GetColorU32(ImGuiCol_TextLink));
      }
    }
    ++row_of_layer;
  }
  geometry.draw_labels(input.layers);
  if (pointed) draw_tooltip(input, *pointed, show);
  ImGui::EndChild();
  if (!square) {
    ImGui::SetCursorPosX(ImGui::GetCursorPosX() + margin.x);
    const HeadColumn column = column_of(show);
    if (show == HeadsShow::rung) {
      const float width = ImGui::GetContentRegionAvail().x;
      ImGui::Dummy({width, draw_rungs(&scale, width)});
    } else {
      draw_bar(scale, std::min(ImGui::GetContentRegionAvail().x, 20.0F * em));
      const std::string median = "median " + head_median_text(input.rows, column);
      const float edge = ImGui::GetItemRectMax().x + em + ImGui::CalcTextSize(median.c_str()).x;
      if (edge <= ImGui::GetCursorScreenPos().x + ImGui::GetContentRegionAvail().x) {
        ImGui::GetWindowDrawList()->AddText({ImGui::GetItemRectMax().x + em, ImGui::GetItemRectMin().y},
                                            ImGui::GetColorU32(ImGuiCol_TextDisabled), median.c_str());
      }
    }
    std::string help = head_column_help(column, input.options);
    if (const std::string median = head_median_help(input.rows, column); !median.empty()) help += "\n" + median;
    ui::tooltip(help);
  }
  if (!clicked || !pointed) return std::nullopt;
  return HeadSurvey::LayerHead{input.rows[*pointed].layer, input.rows[*pointed].head};
}

void HeadsOverview::colour_pictures(const HeadsOverviewInput& input, ColourMap map) {
  const int side = thumbnail_side_for(input.rows.size());
  complete_ = true;
  if (side == 0) return;
  if (!atlas_ || pictured_.size() != input.rows.size() || colouring_ != Colouring{map, masked_colour()}) {
    if (pictured_.size() != input.rows.size()) atlas_.reset();
    if (!atlas_) atlas_.emplace(input.rows.size(), side);
    pictured_.assign(input.rows.size(), nullptr);
    colouring_ = {map, masked_colour()};
  }
  int left = pictures_per_frame;
  const ColourTable table = colour_table(map);
  for (std::size_t index = 0; index < input.rows.size(); ++index) {
    const auto& summary = input.rows[index].known.summary;
    if (!summary || summary == pictured_[index]) continue;
    // Another k is another summary with the same picture.
    if (left-- == 0) {
      complete_ = false;
      break;
    }
    atlas_->set(index, coloured_thumbnail(summary->thumbnail, side, thumbnail_scale(summary->n), table, colouring_.masked));
    pictured_[index] = summary;
  }
  if (left < pictures_per_frame) atlas_->finish();
}

void HeadsOverview::draw_map(const HeadsOverviewInput& input, std::size_t index, ImVec2 low, ImVec2 high, float alpha) const {
  ImDrawList* draw = ImGui::GetWindowDrawList();
  if (!atlas_ || !input.rows[index].known.summary || !pictured_[index]) {
    draw->AddRectFilled(low, high, ImGui::GetColorU32(ImGuiCol_FrameBg, alpha));
    return;
  }
  const auto place = atlas_->place(index);
  draw->AddImage(static_cast<ImTextureID>(atlas_->name()), low, high, {place.left, place.top}, {place.right, place.bottom},
                 ImGui::GetColorU32(IM_COL32_WHITE, alpha));
}

void HeadsOverview::draw_tooltip(const HeadsOverviewInput& input, std::size_t index, HeadsShow show) const {
  if (!ImGui::BeginTooltip()) return;
  const float side = 9.0F * ImGui::GetFontSize();
  if (show == HeadsShow::maps && input.rows[index].known.summary) {
    const ImVec2 low = ImGui::GetCursorScreenPos();
    ImGui::Dummy({side, side});
    draw_map(input, index, low, {low.x + side, low.y + side}, 1.0F);
    ImGui::SameLine();
  }
  ImGui::PushTextWrapPos(ImGui::GetCursorPosX() + 24.0F * ImGui::GetFontSize());
  ImGui::TextUnformatted(head_details(input.rows[index]).c_str());
  ImGui::PopTextWrapPos();
  ImGui::EndTooltip();
}

}  // namespace convscope
