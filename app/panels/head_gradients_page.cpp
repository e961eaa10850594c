#include "panels/head_gradients_page.h"

#include "panels/backward_look.h"
#include "panels/plot_drawing.h"
#include "panels/ui.h"
#include "state/text.h"
#include "view/ticks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace convscope {

namespace {

using Way = convbasis::GradientsByOneWay<float>;

constexpr double wrong = 0.1;   // of a gradient: a tenth of its length
constexpr double right = 1e-3;  // float32 and FFTs leave a few 1e-5

double worst_error(const Way& way) { return std::max({way.query_error, way.key_error, way.value_error}); }

void draw_table(const HeadGradients::Comparison& comparison) {
  constexpr ImGuiTableFlags flags = ImGuiTableFlags_SizingFixedFit | ImGuiTableFlags_RowBg;
  if (!ImGui::BeginTable("gradients", 6, flags)) return;
  for (const char* name : {"backward", "dQ error", "dK error", "dV error", "forward", "backward "}) {
    ImGui::TableSetupColumn(name);
  }
  ImGui::TableHeadersRow();
  for (const Way& way : comparison.ways) {
    ImGui::TableNextColumn();
    ImGui::BeginGroup();
    draw_backward_name(way.backward);
    ImGui::EndGroup();
    ui::tooltip(help_of(way.backward));
    for (const double error : {way.query_error, way.key_error, way.value_error}) {
      ImGui::TableNextColumn();
      way.backward == Backward::exact ? ui::dim("\u2013") : ui::number(short_number(error));
    }
    for (const double seconds : {way.forward_seconds, way.backward_seconds}) {
      ImGui::TableNextColumn();
      ui::number(seconds_text(seconds));
    }
  }
  ImGui::EndTable();
}

}  // namespace

std::string verdict(const HeadGradients::Comparison& comparison) {
  std::string numbers;
  double worst = 0.0;
  for (const Way& way : comparison.ways) {
    if (way.backward == Backward::exact) continue;
    const double error = worst_error(way);
    worst = error <= worst ? worst : error;  // a NaN stays
    numbers += fmt::format("{}{} {}", numbers.empty() ? "" : ", ", title_of(way.backward), short_number(100.0 * error, 2) + " %");
  }
  if (numbers.empty()) return "";
  const std::string found = fmt::format("k = {}; largest error: {}.", comparison.k_found, numbers);
  if (worst <= right) return "The gradients agree: this head is a conv basis, " + found;
  if (worst <= wrong) return "The gradients are close, " + found;
  return "This head is no conv basis of so few segments, and gradients through one are wrong, " + found;
}

void HeadGradientsPage::draw(const Session& session, HeadGradients& gradients, std::uint64_t& seed) {
  const AnalysisResult& result = session.result();
  gradients.want(result.analysis, result.request, seed);
  draw_choices(gradients, seed);
  if (!gradients.failure().empty()) {
    ui::wrapped(gradients.failure(), ui::error_colour());
    return;
  }
  const auto& comparison = gradients.comparison();
  if (!comparison) {
    ui::empty_state(result.analysis
                        ? "Compares the gradients of this head: dQ, dK and dV by exact attention, and through its conv basis."
                        : "The gradients of a head appear here when one has been analysed.");
    return;
  }
  draw_table(*comparison);
  ui::wrapped(verdict(*comparison));
  refresh(comparison);
  maps_.draw(ImGui::GetContentRegionAvail(), "token", "dimension");
}

void HeadGradientsPage::draw_choices(const HeadGradients& gradients, std::uint64_t& seed) {
  constexpr std::array<std::pair<const char*, Of>, 3> choices{{{"dQ", Of::query}, {"dK", Of::key}, {"dV", Of::value}}};
  for (const auto& [name, of] : choices) {
    if (ui::choice(name, of_ == of)) of_ = of;
    ImGui::SameLine();
  }
  ui::dim("seed of G");
  ui::tooltip("The gradient of the loss by the output, G = dL/dY, is random normal numbers of this seed.");
  ImGui::SameLine();
  ImGui::SetNextItemWidth(3.0F * ImGui::GetFontSize());
  ImGui::PushStyleVar(ImGuiStyleVar_FramePadding, {ImGui::GetStyle().FramePadding.x, 0.0F});
  ImU64 entered = seed;
  if (ImGui::InputScalar("##seed", ImGuiDataType_U64, &entered)) seed = entered;
  ImGui::PopStyleVar();
  ImGui::SameLine();
  std::string state = gradients.comparison() ? fmt::format("n {}", gradients.n()) : "";
  if (gradients.n() == HeadGradients::token_limit) state += " (the first ones)";
  if (gradients.pending()) state += gradients.comparison() ? " · stale, computing …" : "computing …";
  ui::fitted(state, ImGui::GetColorU32(aside_colour()));
}

void HeadGradientsPage::refresh(const std::shared_ptr<const HeadGradients::Comparison>& comparison) {
  if (shown_ == comparison && shown_of_ == of_) return;
  shown_ = comparison;
  shown_of_ = of_;
  const auto gradient_of = [this](const Way& way) -> const convbasis::Matrix<float>& {
    return of_ == Of::query ? way.query : of_ == Of::key ? way.key : way.value;
  };
  const auto error_of = [this](const Way& way) {
    return of_ == Of::query ? way.query_error : of_ == Of::key ? way.key_error : way.value_error;
  };
  const auto exact = std::ranges::find(comparison->ways, Backward::exact, &Way::backward);
  std::vector<GradientMap> maps;
  for (const Way& way : comparison->ways) {
    const convbasis::Matrix<float>& gradient = gradient_of(way);
    GradientMap& map = maps.emplace_back();
    map.backward = way.backward;
    map.gradient = pooled_peaks(gradient, GradientMaps::most_cells);
    map.error = error_of(way);
    map.rows = gradient.rows();
    map.columns = gradient.cols();
    if (way.backward == Backward::exact || exact == comparison->ways.end()) continue;
    map.difference = pooled_peaks<float>(gradient - gradient_of(*exact), GradientMaps::most_cells);
  }
  maps_.set(std::move(maps));
}

}  // namespace convscope
