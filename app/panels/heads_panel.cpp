#include "panels/heads_panel.h"

#include "panels/ui.h"

#include <fmt/format.h>
#include <imgui.h>
#include <misc/cpp/imgui_stdlib.h>

#include <algorithm>
#include <utility>

namespace convscope {

namespace {

/// Stays on the line when `width` more pixels fit, else begins another.
void same_line_if_fits(float width) {
  const float end = ImGui::GetItemRectMax().x + ImGui::GetStyle().ItemSpacing.x + width;
  const float edge = ImGui::GetCursorScreenPos().x + ImGui::GetContentRegionAvail().x;
  if (end <= edge) ImGui::SameLine();
}

/// That of the atlas, so that both say the same of a head: fits of real heads rarely come below.
constexpr double target_error = 0.1;

SurveyOptions options_for(const AnalysisRequest& wanted, bool ladders) {
  SurveyOptions options;
  options.summary.recover = wanted.options();
  options.summary.target_error = target_error;
  options.ladder.band = wanted.band;
  options.ladder.columns = wanted.columns;
  options.ladder.k = wanted.k;
  options.ladders = ladders;
  return options;
}

float button_width(const char* label) { return ImGui::CalcTextSize(label).x + 2.0F * ImGui::GetStyle().FramePadding.x; }

}  // namespace

void HeadsPanel::poll(const Session& session, bool busy) {
  const bool drawn = std::exchange(drawn_, false);
  frames_seen_ = drawn ? std::min(frames_seen_ + 1, 2) : 0;
  frames_hidden_ = drawn ? 0 : std::min(frames_hidden_ + 1, 2);
  // In their first frame all panels are drawn, also those that then go behind another one.
  const bool visible = frames_seen_ == 2;
  const auto& source = session.source();
  if (source != survey_.source()) by_hand_ = paused_ = stopped_ = false;
  // While a slider moves, every step would be another wish; the last one is taken.
  if (source && (source != survey_.source() || !busy)) {
    survey_.want(source, wanted_n_, options_for(session.wanted(), ladders_));
  } else if (!source) {
    survey_.want(nullptr, wanted_n_, survey_.options());
  }
  survey_.hold(paused_ || busy || !(visible || by_hand_));
  if (visible && source && !stopped_ && !survey_.started()) survey_.start();
  survey_.poll();
}

bool HeadsPanel::settled() const {
  if (needs_frame()) return false;
  const SurveyProgress progress = survey_.progress();
  return !drawn_ || paused_ || !(progress.running || progress.held);
}

void HeadsPanel::begin() {
  by_hand_ = true;
  paused_ = stopped_ = false;
  if (!survey_.started()) survey_.start();
}

void HeadsPanel::refresh() {
  const bool other_rows = rows_version_ != survey_.version();
  if (!other_rows && parsed_text_ == filter_text_ && passed_) return;
  if (other_rows) {
    rows_version_ = survey_.version();
    rows_ = head_rows(survey_);
  }
  parsed_text_ = filter_text_;
  filter_ = parse_head_filter(filter_text_);
  passed_ = std::make_unique<bool[]>(rows_.size());
  for (std::size_t x = 0; x < rows_.size(); ++x) passed_[x] = passes(filter_.filter, rows_[x]);
  ++version_;
}

void HeadsPanel::draw(Session& session, ColourMap map) {
  drawn_ = true;
  ui::help_mark(
      "All heads of the source: a thumbnail of P, or one number as colour; a click opens the head.\n"
      "Error at k: ||Y~ \u2212 Y|| / ||Y|| by Recover. Entropy: mean of \u2212\u03a3 p log\u2082 p over rows. Sink, band: mean "
      "share of the "
      "first keys, of the last lags.\n"
      "Rank one, 1 lag, k lags, rung: the ladder of fits with the band, columns and k of the parameters.\n"
      "Filter: layer 3, error<0.2, sink>0.5, rung = rank one. Computed while this panel is seen, and nothing else needs the "
      "machine.");
  ui::title("Heads");
  if (!session.source() || session.source() != survey_.source()) {
    ui::empty_state("Every head of the model, as a small map or in numbers, appears here when a file is open.");
    return;
  }
  const AnalysisRequest& wanted = session.wanted();
  refresh();
  Index tokens = 1;
  for (const auto& layer : session.source()->layers()) tokens = std::max(tokens, layer.size);
  draw_work(tokens);
  draw_views();
  draw_filter();
  const std::span<const bool> passed(passed_.get(), rows_.size());
  const HeadSurvey::LayerHead current{wanted.layer, wanted.head};
  std::optional<HeadSurvey::LayerHead> asked;
  if (view_ == View::table) {
    asked = table_.draw(rows_, passed, version_, current, survey_.options());
  } else {
    const HeadsOverviewInput input{.layers = session.source()->layers(),
                                   .rows = rows_,
                                   .passed = passed,
                                   .current = current,
                                   .options = survey_.options(),
                                   .n = std::min(wanted_n_, tokens)};
    asked = overview_.draw(input, show_, map);
  }
  if (!asked) return;
  AnalysisRequest request = wanted;
  std::tie(request.layer, request.head) = *asked;
  session.want(request);
}

void HeadsPanel::draw_buttons() {
  if (survey_.started() && !paused_) {
    if (ImGui::SmallButton("Pause")) paused_ = true;
    ui::tooltip("Begins no other head, once the one under way is done; Continue goes on.");
  } else if (ImGui::SmallButton(survey_.started() || survey_.progress().done > 0 ? "Continue" : "Start")) {
    begin();
  }
  ImGui::SameLine();
  ImGui::BeginDisabled(!survey_.started());
  if (ImGui::SmallButton("Cancel")) {
    stopped_ = true;
    by_hand_ = paused_ = false;
    survey_.cancel();
  }
  ui::tooltip("Stops the work at once and keeps what there is.");
  ImGui::EndDisabled();
}

void HeadsPanel::draw_work(Index tokens) {
  const SurveyProgress progress = survey_.progress();
  const bool complete = progress.complete();
  // Where a tab says the title, nothing stands on its line yet.
  bool first = ImGui::GetItemRectSize().x <= 0.0F;
  ImGui::SameLine(0.0F, first ? 0.0F : ImGui::GetFontSize());
  if (!complete) {
    draw_buttons();
    first = false;
  }
  std::string text = progress_text(progress);
  if (paused_ && !complete) {
    SurveyProgress still = progress;
    still.held = still.running = false;
    text = "paused: " + progress_text(still);
  }
  if (!filter_.filter.empty()) {
    text += fmt::format(", {} shown", std::count(passed_.get(), passed_.get() + rows_.size(), true));
  }
  if (!first && !complete) same_line_if_fits(ImGui::CalcTextSize(text.c_str()).x);
  ui::dim(text);
  ui::tooltip(
      "The heads are looked at one after the other in the background, while nothing else needs the machine: first their "
      "summaries, then their ladders.");
  draw_tokens(tokens);
  draw_ladder_choice(tokens);
}

void HeadsPanel::draw_tokens(Index tokens) {
  const float field = 4.5F * ImGui::GetFontSize();
  same_line_if_fits(field + ImGui::CalcTextSize("n ").x);
  ImGui::PushStyleVarY(ImGuiStyleVar_FramePadding, 0.0F);
  ui::bold("n");
  ImGui::SameLine();
  ImGui::SetNextItemWidth(field);
  ImGui::PushFont(ui::mono_font());
  ImS64 n = std::min(wanted_n_, tokens);
  ImGui::InputScalar("##n", ImGuiDataType_S64, &n);
  if (ImGui::IsItemDeactivatedAfterEdit()) wanted_n_ = std::clamp<Index>(n, 1, tokens);
  ImGui::PopFont();
  ImGui::PopStyleVar();
  ui::tooltip("Tokens from the start of the text that every head is looked at with. The time grows with n².");
}

void HeadsPanel::draw_ladder_choice(Index tokens) {
  const auto& options = survey_.options().ladder;
  same_line_if_fits(button_width("ladder") + 1.8F * ImGui::GetFontSize());  // the mark of help is at the end
  ui::choice("ladder", ladders_);
  if (ImGui::IsItemActivated()) ladders_ = !ladders_;  // a choice says nothing of a click on the current one
  std::string help = fmt::format(
      "Whether the ladder of every head is made, too, after all summaries: fits with an exact band of {}, {} exact columns and "
      "{} lag "
      "vectors, as the parameters say.",
      options.band, options.columns, std::max<Index>(options.k, 1));
  if (std::min(wanted_n_, tokens) > HeadSurvey::ladder_limit) {
    help += fmt::format("\nHeads of more than {} tokens get none: it would take too long. A smaller n gives them one.",
                        HeadSurvey::ladder_limit);
  }
  ui::tooltip(help);
}

void HeadsPanel::draw_views() {
  if (ui::choice("grid", view_ == View::overview)) view_ = View::overview;
  ImGui::SameLine();
  if (ui::choice("table", view_ == View::table)) view_ = View::table;
  if (view_ == View::table) {
    same_line_if_fits(button_width("Copy as TSV"));
    if (ImGui::SmallButton("Copy as TSV")) ImGui::SetClipboardText(heads_tsv(table_.shown()).c_str());
    ui::tooltip("Puts the rows shown, with all their digits, on the clipboard, for a spreadsheet.");
    return;
  }
  draw_shows();
}

void HeadsPanel::draw_shows() {
  const auto help = [&](HeadsShow what) {
    return what == HeadsShow::maps ? "Exact attention, 64 x 64 pixels of mean probability on a logarithmic scale of each n."
                                   : head_column_help(column_of(what), survey_.options());
  };
  const float gap = ImGui::GetFontSize();
  float width = 0.0F;
  for (const HeadsShow what : heads_shows) width += button_width(name_of(what)) + ImGui::GetStyle().ItemSpacing.x;
  ImGui::SameLine(0.0F, gap);
  if (width <= ImGui::GetContentRegionAvail().x) {
    for (const HeadsShow what : heads_shows) {
      if (what != heads_shows.front()) ImGui::SameLine();
      if (ui::choice(name_of(what), show_ == what)) show_ = what;
      ui::tooltip(help(what));
    }
    return;
  }
  // Two or three lines of choices would leave a low panel no room for the grid.
  ImGui::PushStyleVarY(ImGuiStyleVar_FramePadding, 0.0F);
  ImGui::SetNextItemWidth(7.5F * ImGui::GetFontSize());
  if (ImGui::BeginCombo("##show", name_of(show_), ImGuiComboFlags_HeightLarge)) {
    for (const HeadsShow what : heads_shows) {
      if (ImGui::Selectable(name_of(what), show_ == what)) show_ = what;
      ui::tooltip(help(what));
    }
    ImGui::EndCombo();
  } else {
    ui::tooltip(help(show_));
  }
  ImGui::PopStyleVar();
}

void HeadsPanel::draw_filter() {
  const float room = ImGui::GetContentRegionAvail().x;
  const float least = 11.0F * ImGui::GetFontSize();
  same_line_if_fits(least);
  const float left = ImGui::GetContentRegionAvail().x;
  ImGui::SetNextItemWidth(std::min(left, std::max(least, 0.4F * room)));
  ImGui::PushStyleVarY(ImGuiStyleVar_FramePadding, 0.0F);
  ImGui::InputTextWithHint("##filter", "filter: layer 3 error<0.2", &filter_text_);
  ImGui::PopStyleVar();
  ui::tooltip(
      "Conditions that must all hold, as in: layer 3-5 error<0.2 sink>50% k<=16, or rung <= rank one. Names: layer, head, "
      "error, k, rank, lag, lags, rung, entropy, sink, band.");
  if (!filter_.problem.empty()) ui::wrapped(filter_.problem, ui::error_colour());
}

const std::map<HeadSurvey::LayerHead, double>& HeadsPanel::errors_for(const AnalysisRequest& request) {
  const auto& options = survey_.options().summary.recover;
  const bool same =
      survey_.source() && survey_.source()->id() == request.source && survey_.n() >= request.n && request.options() == options;
  const std::uint64_t wanted = same ? survey_.version() : 0;
  if (errors_version_ == wanted && errors_n_ == request.n) return errors_;
  errors_version_ = wanted;
  errors_n_ = request.n;
  errors_.clear();
  if (!same) return errors_;
  for (const auto& [place, head] : survey_.heads()) {
    if (head.summary && !head.stale && head.summary->n == request.n) errors_[place] = head.summary->error;
  }
  return errors_;
}

std::string HeadsPanel::csv() const {
  const auto& options = survey_.options().summary;
  const auto& ladder = survey_.options().ladder;
  std::vector<std::string> remarks;
  if (const auto& source = survey_.source()) {
    remarks.push_back(
        fmt::format("{}, first {} tokens; recover k {}, T {}, delta {}, eps {}, {} search; target error {}, k up to {}; sink {}, "
                    "band {}; ladder of band {}, columns {}, k {}",
                    source->name(), survey_.n(), options.recover.k, options.recover.T, options.recover.delta, options.recover.eps,
                    convbasis::name_of(options.recover.search), options.target_error, options.most_k, options.sink, options.band,
                    ladder.band, ladder.columns, std::max<Index>(ladder.k, 1)));
  }
  return heads_csv(head_rows(survey_), remarks);
}

}  // namespace convscope
