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

using Way = convbasis::GradientsByOneWay<double>;

constexpr float wide_enough = 62.0F;   // in sizes of type: for the errors beside the maps
constexpr float errors_width = 27.0F;  // likewise
constexpr float high_enough = 26.0F;   // likewise, for the errors above the maps
constexpr double wrong = 0.1;          // of a gradient: a tenth of its length
constexpr double right = 1e-3;         // float32 data leaves a few 1e-6

constexpr const char* help_of_conv =
    "The gradient of the conv forward itself. That function reads every key but those at the starts through their segment's lag "
    "vector, so its dK is 0 but at the starts and its dQ is summed along lags: on a conv basis, too, they are not the exact ones "
    "entry by entry. They agree along every change that keeps the basis, as the one-layer problem with tied X shows; dV can be "
    "compared.";

double worst_error(const Way& way) { return std::max({way.query_error, way.key_error, way.value_error}); }

void draw_table(const HeadGradients::Comparison& comparison) {
  constexpr ImGuiTableFlags flags = ImGuiTableFlags_SizingFixedFit | ImGuiTableFlags_RowBg;
  const bool narrow = ImGui::GetContentRegionAvail().x < 26.0F * ImGui::GetFontSize();
  if (!ImGui::BeginTable("gradients", narrow ? 5 : 6, flags)) return;
  for (const char* name : {"error of", "dQ", "dK", "dV"}) ImGui::TableSetupColumn(name);
  if (!narrow) ImGui::TableSetupColumn("forward");
  ImGui::TableSetupColumn("backward");
  ImGui::TableHeadersRow();
  for (const Way& way : comparison.ways) {
    ImGui::TableNextColumn();
    ImGui::BeginGroup();
    draw_backward_name(way.backward, narrow ? 6.0F * ImGui::GetFontSize() : FLT_MAX);
    ImGui::EndGroup();
    ui::tooltip(way.backward == Backward::conv ? help_of_conv : help_of(way.backward));
    for (const double error : {way.query_error, way.key_error, way.value_error}) {
      ImGui::TableNextColumn();
      way.backward == Backward::exact ? ui::dim("\u2013") : ui::number(short_number(error));
    }
    if (!narrow) {
      ImGui::TableNextColumn();
      ui::number(seconds_text(way.forward_seconds));
    }
    ImGui::TableNextColumn();
    ui::number(seconds_text(way.backward_seconds));
  }
  ImGui::EndTable();
}

}  // namespace

std::string verdict(const HeadGradients::Comparison& comparison) {
  // The estimate has the error of P~. What the conv forward leaves in dQ and dK is another matter: see help_of_conv.
  const auto estimate = std::ranges::find(comparison.ways, Backward::estimate, &Way::backward);
  if (estimate == comparison.ways.end()) return "";
  const double error = worst_error(*estimate);
  const std::string numbers =
      fmt::format("k = {} and the estimate is {} % off", comparison.k_found, short_number(100.0 * error, 2));
  if (error <= right) return fmt::format("This head is a conv basis: {}.", numbers);
  if (error <= wrong) return fmt::format("This head is nearly a conv basis: {}.", numbers);
  return fmt::format("This head is no conv basis of so few segments, and its gradients through one are wrong: {}.", numbers);
}

void HeadGradientsPage::draw(const Session& session, HeadGradients& gradients, std::uint64_t& seed, Precision precision,
                             const ChosenDevice& device) {
  const AnalysisResult& result = session.result();
  gradients.want(result.analysis, result.request, seed, precision, device);
  const float em = ImGui::GetFontSize();
  const ImVec2 room = ImGui::GetContentRegionAvail();
  const bool beside = room.x >= wide_enough * em;
  const bool above = !beside && room.x >= errors_width * em && room.y >= high_enough * em;
  draw_choices(gradients, seed, precision, beside || above);
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
  refresh(comparison);
  if (beside) {
    ImGui::BeginChild("errors", {errors_width * em, 0.0F});
    draw_errors(*comparison);
    ImGui::EndChild();
    ImGui::SameLine();
  } else if (above) {
    draw_errors(*comparison);
  } else if (of_ == Of::errors) {
    return draw_errors(*comparison);
  }
  ImGui::BeginChild("maps");
  maps_.draw(ImGui::GetContentRegionAvail(), "token", "dimension");
  ImGui::EndChild();
}

void HeadGradientsPage::draw_errors(const HeadGradients::Comparison& comparison) {
  draw_table(comparison);
  ImGui::Spacing();
  ui::wrapped(verdict(comparison));
  ImGui::Spacing();
  ui::wrapped("conv forward: dQ and dK are of a function that reads keys at the starts only.", aside_colour());
  ui::tooltip(help_of_conv);
}

void HeadGradientsPage::draw_choices(const HeadGradients& gradients, std::uint64_t& seed, Precision precision, bool errors_seen) {
  constexpr std::array<std::pair<const char*, Of>, 4> choices{
      {{"errors", Of::errors}, {"dQ", Of::query}, {"dK", Of::key}, {"dV", Of::value}}};
  if (errors_seen && of_ == Of::errors) of_ = Of::query;
  for (const auto& [name, of] : choices) {
    if (errors_seen && of == Of::errors) continue;
    if (ui::choice(name, of_ == of)) of_ = of;
    ImGui::SameLine();
  }
  ui::dim("seed");
  ui::tooltip("The gradient of the loss by the output, G = dL/dY, is random normal numbers of this seed.");
  ImGui::SameLine();
  ImGui::SetNextItemWidth(3.0F * ImGui::GetFontSize());
  ImGui::PushStyleVar(ImGuiStyleVar_FramePadding, {ImGui::GetStyle().FramePadding.x, 0.0F});
  ImU64 entered = seed;
  if (ImGui::InputScalar("##seed", ImGuiDataType_U64, &entered)) seed = entered;
  ImGui::PopStyleVar();
  ImGui::SameLine();
  std::string state = gradients.comparison() ? fmt::format("n {}", gradients.n()) : "";
  if (gradients.n() == HeadGradients::token_limit) state += ", at most";
  if (gradients.comparison() && precision == Precision::f32) state += " · " + gradients.comparison()->device;
  if (gradients.pending()) state += gradients.comparison() ? " · stale, computing …" : "computing …";
  ui::fitted(state, ImGui::GetColorU32(aside_colour()));
}

void HeadGradientsPage::refresh(const std::shared_ptr<const HeadGradients::Comparison>& comparison) {
  if (shown_ == comparison && shown_of_ == of_) return;
  shown_ = comparison;
  shown_of_ = of_;
  const auto gradient_of = [this](const Way& way) -> const convbasis::Matrix<double>& {
    return of_ == Of::key ? way.key : of_ == Of::value ? way.value : way.query;
  };
  const auto error_of = [this](const Way& way) {
    return of_ == Of::key ? way.key_error : of_ == Of::value ? way.value_error : way.query_error;
  };
  const auto exact = std::ranges::find(comparison->ways, Backward::exact, &Way::backward);
  std::vector<GradientMap> maps;
  for (const Way& way : comparison->ways) {
    const convbasis::Matrix<double>& gradient = gradient_of(way);
    GradientMap& map = maps.emplace_back();
    map.backward = way.backward;
    map.gradient = pooled_peaks(gradient, GradientMaps::most_cells);
    map.error = error_of(way);
    map.rows = gradient.rows();
    map.columns = gradient.cols();
    if (way.backward == Backward::exact || exact == comparison->ways.end()) continue;
    map.difference = pooled_peaks<double>(gradient - gradient_of(*exact), GradientMaps::most_cells);
  }
  maps_.set(std::move(maps));
}

}  // namespace convscope
