#include "panels/status_bar.h"

#include "panels/ui.h"
#include "state/provenance.h"
#include "state/text.h"
#include "view/ticks.h"

#include <fmt/format.h>
#include <imgui_internal.h>

#include <string>
#include <vector>

namespace convscope {

namespace {

constexpr ImGuiWindowFlags bar_flags =
    ImGuiWindowFlags_NoScrollbar | ImGuiWindowFlags_NoScrollWithMouse | ImGuiWindowFlags_NoSavedSettings;

std::string quoted_token(const Source& source, Index position) {
  const auto& tokens = source.tokens();
  if (static_cast<std::size_t>(position) >= tokens.size()) return "";
  return fmt::format("\"{}\"", token_text(tokens[static_cast<std::size_t>(position)], 16));
}

/// What is under the cursor. Every number has a width of its own, so that nothing jumps while the mouse moves.
void draw_cell(const AnalysisResult& result, const MapView& view) {
  const auto cell = view.shown();
  if (!cell) {
    ui::dim("Point at a map to read its numbers; a click pins a cell.");
    return;
  }
  std::string text = fmt::format("({:>5}, {:>5})", cell->row, cell->column);
  const std::string query = quoted_token(*result.source, cell->row);
  if (!query.empty()) text += fmt::format("  {:>14} ← {:<14}", query, quoted_token(*result.source, cell->column));
  if (view.cell) {
    const bool scores = view.quantity == convbasis::MapQuantity::score;
    const double exact = scores ? view.cell->exact_score : view.cell->exact_probability;
    const double approximate = scores ? view.cell->approximate_score : view.cell->approximate_probability;
    text += fmt::format("   exact {:<9} approx {:<9} diff {:<9}", short_number(exact), short_number(approximate),
                        short_number(exact - approximate));
  }
  ui::number(text);
}

void right_align(float width) {
  ImGui::SameLine(std::max(ImGui::GetCursorPosX(), ImGui::GetWindowWidth() - width - ImGui::GetStyle().WindowPadding.x));
}

/// The most that can be said in `room`: all of it, or what comes first.
std::string fitting(const std::vector<std::string>& parts, float room) {
  std::string text;
  for (const std::string& part : parts) {
    const std::string longer = text.empty() ? part : fmt::format("{} · {}", text, part);
    if (ImGui::CalcTextSize(longer.c_str()).x > room) break;
    text = longer;
  }
  return text;
}

void draw_path(const AnalysisResult& result) {
  const auto& analysis = *result.analysis;
  const std::string exact = "exact " + seconds_text(analysis.seconds.exact);
  const std::string found = seconds_text(analysis.seconds.recover);
  const std::vector<std::string> parts =
      analysis.rank ? std::vector{work_text(result), exact, "low rank " + found}
                    : std::vector{work_text(result), fmt::format("{} rescued rows", analysis.apply.rescued_rows()), exact,
                                  (analysis.fit ? "fit " : "recover ") + found, "apply " + seconds_text(analysis.seconds.apply)};
  const float left = ImGui::GetItemRectMax().x - ImGui::GetWindowPos().x;
  ImGui::PushFont(ui::mono_font());
  const std::string text = fitting(parts, ImGui::GetWindowWidth() - left - 4.0F * ImGui::GetStyle().WindowPadding.x);
  right_align(ImGui::CalcTextSize(text.c_str()).x);
  ui::dim(text);
  ImGui::PopFont();
  ui::tooltip(
      "What computed, and how the approximation was; rows whose float32 rounding was too large were recomputed in double; times "
      "on this machine.");
}

void draw_progress(Session& session, const Progress& progress) {
  const float bar = ImGui::GetFontSize() * 14.0F;
  const float cancel = ImGui::CalcTextSize("Cancel").x + 2.0F * ImGui::GetStyle().FramePadding.x;
  right_align(bar + cancel + ImGui::GetStyle().ItemSpacing.x);
  const std::string stage = progress.stage.empty() ? "opening" : progress.stage;
  ImGui::ProgressBar(static_cast<float>(progress.fraction), {bar, ImGui::GetTextLineHeight()}, stage.c_str());
  ImGui::SameLine();
  // The bar, drawn as a frame, would push the button below the line.
  ImGui::SetCursorPosY(ImGui::GetCursorPosY() - ImGui::GetStyle().FramePadding.y);
  if (ImGui::SmallButton("Cancel")) session.cancel();
}

}  // namespace

void draw_status_bar(Session& session, const MapView& view) {
  const Progress progress = session.progress();
  const AnalysisResult& result = session.result();
  if (ImGui::BeginViewportSideBar("##status", ImGui::GetMainViewport(), ImGuiDir_Down, ImGui::GetFrameHeightWithSpacing(),
                                  bar_flags)) {
    if (result.analysis) {
      draw_cell(result, view);
    } else {
      ui::dim("Nothing has been analysed yet.");
    }
    if (progress.busy) {
      draw_progress(session, progress);
    } else if (session.waits_for_device()) {
      constexpr const char* text = "looking for a GPU…";
      right_align(ImGui::CalcTextSize(text).x);
      ui::dim(text);
    } else if (result.analysis) {
      draw_path(result);
    }
  }
  ImGui::End();
}

}  // namespace convscope
