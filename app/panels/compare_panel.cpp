#include "panels/compare_panel.h"

#include "panels/ui.h"
#include "view/ticks.h"

#include <fmt/format.h>
#include <imgui.h>

#include <algorithm>
#include <string>

namespace convscope {

using convbasis::MapKind;

namespace {

std::string name_of_head(const Session& session) {
  const AnalysisRequest& wanted = session.wanted();
  return fmt::format("{}, layer {} head {}, k {}, n {}", session.source()->name(), wanted.layer, wanted.head, wanted.k, wanted.n);
}

/// A number with its name; true when another one was entered.
bool entry(const char* name, Index& value, Index least, Index most) {
  ImGui::SetNextItemWidth(ImGui::GetFontSize() * 7.0F);
  ImS64 entered = value;
  constexpr ImS64 step = 1;
  const bool changed = ImGui::InputScalar(name, ImGuiDataType_S64, &entered, &step);
  if (changed) value = std::clamp<Index>(entered, least, most);
  return changed;
}

void row_of_numbers(const char* what, double a, double b) {
  ImGui::TableNextColumn();
  ui::dim(what);
  for (const double value : {a, b, a - b}) {
    ImGui::TableNextColumn();
    ui::number(short_number(value));
  }
}

}  // namespace

CompareWish ComparePanel::draw(const Session& a, Session* b) {
  ui::help_mark(
      "Two heads side by side: A is what all other panels show, B is kept here and shown in a second row of maps.\n"
      "B can be another head, another k, or a head of another file: put a head into B, then open the other one.\n"
      "Difference: P of A \u2212 P of B, or P~ of A \u2212 P~ of B, for the same number of tokens.");
  ui::title("Compare");
  CompareWish wish;
  if (!a.result().analysis) {
    ui::empty_state("Open a head first; then put it into slot B.");
    return wish;
  }
  wish.put = ImGui::Button(b ? "Put A into B again" : "Put this head into B");
  ui::tooltip("B keeps the present head while you open another one, turn k, or open another file");
  if (!b) {
    ImGui::Spacing();
    ui::wrapped(
        "Slot B is empty. Put the present head into it; then open another head: its maps stand above those of B, and their "
        "difference beside them.");
    return wish;
  }
  ImGui::SameLine();
  wish.swap = ImGui::Button("Swap A and B");
  ImGui::SameLine();
  wish.clear = ImGui::Button("Clear B");
  ui::dim("A");
  ImGui::SameLine();
  ui::fitted(name_of_head(a));
  if (!b->source()) return wish;
  ui::dim("B");
  ImGui::SameLine();
  ui::fitted(name_of_head(*b));
  draw_choice(a, *b);
  ImGui::AlignTextToFramePadding();
  ui::dim("difference of");
  ImGui::SameLine();
  if (ui::choice("exact", part_ == MapKind::exact)) part_ = MapKind::exact;
  ImGui::SameLine();
  if (ui::choice("approximations", part_ == MapKind::approximation)) part_ = MapKind::approximation;
  if (b->result().analysis) draw_numbers(a.result(), b->result());
  return wish;
}

void ComparePanel::draw_choice(const Session& a, Session& b) {
  AnalysisRequest request = b.wanted();
  const auto& layers = b.source()->layers();
  ImGui::SetNextItemWidth(ImGui::GetFontSize() * 7.0F);
  if (ImGui::BeginCombo("layer", fmt::format("{}", request.layer).c_str())) {
    for (const auto& layer : layers) {
      if (ImGui::Selectable(fmt::format("{}", layer.layer).c_str(), layer.layer == request.layer)) request.layer = layer.layer;
    }
    ImGui::EndCombo();
  }
  const auto& layer = b.source()->layer(request.layer);
  entry("head", request.head, 0, layer.heads - 1);
  entry("k", request.k, 1, request.n);
  if (request.n != a.wanted().n && a.wanted().n <= layer.size && ImGui::Button("Take n from A")) request.n = a.wanted().n;
  if (!(request == b.wanted())) b.want(request);
}

void ComparePanel::draw_numbers(const AnalysisResult& a, const AnalysisResult& b) {
  constexpr ImGuiTableFlags flags = ImGuiTableFlags_SizingFixedFit | ImGuiTableFlags_RowBg;
  if (!ImGui::BeginTable("numbers", 4, flags)) return;
  for (const char* name : {"", "A", "B", "A \u2212 B"}) ImGui::TableSetupColumn(name);
  ImGui::TableHeadersRow();
  const auto& left = a.analysis->error;
  const auto& right = b.analysis->error;
  row_of_numbers("relative error", left.relative_error, right.relative_error);
  row_of_numbers("mean total variation", left.mean_total_variation, right.mean_total_variation);
  row_of_numbers("largest |Y~ \u2212 Y|", left.max_abs_error, right.max_abs_error);
  const auto parts = [](const AnalysisResult& result) {
    return static_cast<double>(result.analysis->rank ? result.analysis->rank->rank : result.analysis->recovery.basis.count());
  };
  row_of_numbers("segments, or rank", parts(a), parts(b));
  ImGui::EndTable();
}

}  // namespace convscope
