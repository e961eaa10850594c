#include "panels/ladder_view.h"

#include "panels/plot_drawing.h"
#include "panels/ui.h"
#include "state/text.h"
#include "view/ticks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace convscope {

namespace {

namespace rung = convbasis::rung;
using convbasis::LadderRung;

bool is_yardstick(const LadderRung& step) {
  return step.key == rung::wider_band || step.key == rung::nonnegative_rank || step.key == rung::truncated_svd;
}

Subject subject_of(const LadderRung& step) {
  if (step.key == rung::one_lag_vector || step.key == rung::lag_vectors) return Subject::conv;
  if (step.key == rung::rank_one || step.key == rung::nonnegative_rank || step.key == rung::truncated_svd) return Subject::rank;
  if (step.key == rung::rest_mass) return Subject::residual;
  return Subject::exact;
}

/// A bar from the left of the cell for `share` of its width, the error's number in it or beside it.
void draw_bar(const LadderRung& step, double longest, float faded) {
  const ImVec2 corner = ImGui::GetCursorScreenPos();
  const float width = ImGui::GetContentRegionAvail().x;
  const float height = ImGui::GetTextLineHeight();
  const double share = std::isfinite(step.error) ? std::clamp(step.error / longest, 0.0, 1.0) : 1.0;
  ImVec4 colour = subject_colour(subject_of(step));
  colour.w = faded * (is_yardstick(step) ? 0.55F : 0.85F);
  ImDrawList& lines = *ImGui::GetWindowDrawList();
  const float end = corner.x + std::max(2.0F, width * static_cast<float>(share));
  lines.AddRectFilled({corner.x, corner.y + 2.0F}, {end, corner.y + height - 1.0F}, ImGui::GetColorU32(colour), 2.0F);
  if (!std::isnan(step.heldout_error)) {
    const auto at = static_cast<float>(std::clamp(step.heldout_error / longest, 0.0, 1.0));
    const float x = std::round(corner.x + width * at);
    lines.AddLine({x, corner.y}, {x, corner.y + height}, ImGui::GetColorU32(ImGuiCol_Text), 1.5F);
  }
  ImGui::Dummy({width, height});
}

std::string details(const LadderRung& step) {
  std::string text = fmt::format("{}\n\nerror ||Y~ − Y|| / ||Y||  {}", rung_help(step.key), short_number(step.error));
  if (!std::isnan(step.heldout_error)) {
    text += fmt::format("\nheld out  {}: fitted on even rows, measured on odd ones (the thin line)",
                        short_number(step.heldout_error));
  }
  text += fmt::format("\ncost  {} multiply-adds for each of the n d numbers of V\ntime  {} on this machine, once",
                      short_number(step.cost), seconds_text(step.seconds));
  return text;
}

void number_cell(const std::string& text) {
  ImGui::TableNextColumn();
  const float room = ImGui::GetContentRegionAvail().x - ImGui::CalcTextSize(text.c_str()).x;
  if (room > 0.0F) ImGui::SetCursorPosX(ImGui::GetCursorPosX() + room);
  ImGui::TextUnformatted(text.c_str());
}

}  // namespace

void LadderView::draw(Session& session, const HeadLadder& ladder, float width) {
  ImGui::BeginChild("ladder", {width, 0.0F});
  draw_settings(session);
  const bool stale = ladder.stale();
  if (std::string why = ladder.failure(); !why.empty() && stale) {
    ui::wrapped(why, ui::error_colour());
  } else if (!ladder.ladder()) {
    ui::empty_state(ladder.busy() ? "Fitting…" : "What this head is made of appears here when it has been analysed.");
  } else {
    draw_rungs(*ladder.ladder(), stale);
  }
  ImGui::EndChild();
}

void LadderView::draw_settings(Session& session) {
  AnalysisRequest request = session.wanted();
  const AnalysisRequest before = request;
  const auto number = [](const char* id, const char* name, Index& value, const char* help) {
    ImGui::AlignTextToFramePadding();
    ui::dim(name);
    ui::tooltip(help);
    ImGui::SameLine(0.0F, ImGui::GetStyle().ItemInnerSpacing.x);
    ImGui::PushFont(ui::mono_font());
    ImGui::SetNextItemWidth(3.6F * ImGui::GetFontSize());
    ImS64 entered = value;
    ImGui::InputScalar(id, ImGuiDataType_S64, &entered);
    if (ImGui::IsItemDeactivatedAfterEdit()) value = entered;
    ImGui::PopFont();
    ui::tooltip(help);
  };
  number("##w", "band w", request.band, "The last w lags of every row are kept exactly.");
  ImGui::SameLine();
  number("##c", "columns c", request.columns, "So many columns are kept exactly: those that dropping hurts most.");
  ImGui::SameLine();
  number("##k", "k", request.k, "Lag vectors of the top rung.");
  request = clamped(request, session.source()->layer(request.layer).size);
  if (request != before) session.want(request);
}

void LadderView::draw_rungs(const convbasis::Ladder& ladder, bool stale) {
  double longest = 1e-12;  // of errors that are all 0 no bar is to be seen
  for (const LadderRung& step : ladder.rungs) {
    if (std::isfinite(step.error)) longest = std::max(longest, step.error);
  }
  longest = std::min(longest, 1.0);  // an error of 1 is no better than an output of zeros: what is worse need not be told apart
  const bool wide = ImGui::GetContentRegionAvail().x >= 30.0F * ImGui::GetFontSize();
  constexpr ImGuiTableFlags flags = ImGuiTableFlags_SizingFixedFit | ImGuiTableFlags_ScrollY | ImGuiTableFlags_NoSavedSettings;
  if (!ImGui::BeginTable("rungs", wide ? 6 : 4, flags)) return;
  ImGui::TableSetupScrollFreeze(0, 1);
  ImGui::TableSetupColumn("made of");
  ImGui::TableSetupColumn("", ImGuiTableColumnFlags_WidthStretch);
  ImGui::TableSetupColumn("error");
  if (wide) ImGui::TableSetupColumn("held out");
  ImGui::TableSetupColumn("cost");
  if (wide) ImGui::TableSetupColumn("time");
  ImGui::TableHeadersRow();
  ImGui::PushStyleVar(ImGuiStyleVar_Alpha, ImGui::GetStyle().Alpha * (stale ? 0.5F : 1.0F));
  bool beside = false;
  for (const LadderRung& step : ladder.rungs) {
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    if (is_yardstick(step) && !beside) {
      beside = true;
      ui::dim("beside it, as dear");
      ImGui::TableNextRow();
      ImGui::TableNextColumn();
    }
    ImGui::PushID(step.key.c_str());
    ImGui::Selectable(rung_label(step).c_str(), false, ImGuiSelectableFlags_SpanAllColumns);
    ui::tooltip(details(step));
    ImGui::PopID();
    ImGui::TableNextColumn();
    draw_bar(step, longest, stale ? 0.5F : 1.0F);
    ImGui::PushFont(ui::mono_font());
    number_cell(short_number(step.error));
    if (wide) number_cell(std::isnan(step.heldout_error) ? "" : short_number(step.heldout_error));
    number_cell(short_number(step.cost));
    if (wide) number_cell(seconds_text(step.seconds));
    ImGui::PopFont();
  }
  ImGui::PopStyleVar();
  ImGui::EndTable();
}

}  // namespace convscope
