#include "panels/training_panel.h"

#include "panels/backward_look.h"
#include "panels/plot_drawing.h"
#include "panels/training_setup.h"
#include "panels/ui.h"
#include "state/text.h"
#include "training/curves.h"
#include "view/ticks.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace convscope {

namespace {

constexpr float setup_width = 15.0F;  // in sizes of type, as all that follow
constexpr float wide_enough = 38.0F;  // for the form beside a view
constexpr float all_width = 38.0F;    // for two views side by side
constexpr float all_height = 24.0F;   // and two below each other

/// What is said of the precision, and of the device where it may be a GPU.
std::string precision_text(Precision precision, const std::string& device) {
  const std::string text(convbasis::name_of(precision));
  return precision == Precision::f32 ? text + " · " + device : text;
}

std::string state_text(const TrainingView& view, bool stale) {
  using State = TrainingView::State;
  const TrainingResult& result = view.result;
  const int steps = result.steps();
  std::string text;
  if (view.state == State::running) text = steps == 0 ? "planting the problem …" : "";
  if (view.state == State::failed) return view.failure;
  if (steps > 0) text = fmt::format("{} of {} steps", steps, std::max(steps, result.request.steps));
  if (stale && steps > 0) return text + " · stale: the setup or the device has changed";
  if (steps > 0) text += " · " + precision_text(result.request.precision, result.device);
  return text;
}

}  // namespace

const char* TrainingPanel::promise(View which) {
  switch (which) {
    case View::error:
      return "How far the gradient of each backward pass is from the exact one, step by step.";
    case View::maps:
      return "The gradients dL/dX of the last step side by side, and their differences to the exact one.";
    default:
      return "Trains the paper's one-layer problem by the exact gradient, by the paper's estimate and through the conv forward. "
             "Press Run, or Step.";
  }
}

std::string findings(const TrainingResult& result) {
  const int steps = result.steps();
  if (steps == 0) return "";
  std::string losses = "loss";
  std::string differences;
  const auto exact = std::ranges::find(result.runs, Backward::exact, &TrainingRun::backward);
  const auto common = [steps](const TrainingRun& run) { return std::span(run.steps).first(static_cast<std::size_t>(steps)); };
  for (const TrainingRun& run : result.runs) {
    const std::string_view name = convbasis::name_of(run.backward);
    losses += fmt::format("{} {} {}", &run == &result.runs.front() ? "" : ",", name, short_number(common(run).back().loss, 4));
    if (exact == result.runs.end() || run.backward == Backward::exact) continue;
    const double most = convbasis::largest_loss_difference(common(run), common(*exact));
    differences += fmt::format("{} {} {} %", differences.empty() ? "" : ",", name, short_number(100.0 * most, 2));
  }
  return differences.empty() ? losses : losses + " · furthest from exact:" + differences;
}

void TrainingPanel::draw(const Session& session, TrainingRunner& runner, TrainingTimes& times, HeadGradients& gradients,
                         const ChosenDevice& device) {
  device_ = device;
  ui::help_mark(
      "The paper's one-layer problem L(X) = ½ ||D⁻¹ exp(A1 X A2ᵀ) A3 Y0 − E||², causal, on planted data: trained by three "
      "backward passes from the same X_0.\n"
      "exact: exact attention and its gradient, n² d. estimate (paper): conv attention and the paper's estimate of the exact "
      "gradient, k n d² log n. conv forward: conv attention and the gradient of that very forward, k n d log n.\n"
      "Gradient error: ||g − g_exact|| / ||g_exact|| at the same X. Step and Run go on from where Stop left it.\n"
      "\"this head\": dQ, dK and dV of the loaded head by the three.");
  ui::title("Training");
  ImGui::SameLine(0.0F, ImGui::GetFontSize());
  if (ui::choice("one layer", page_ == Page::one_layer)) page_ = Page::one_layer;
  ui::tooltip("The paper's one-layer training problem, on planted data");
  ImGui::SameLine();
  if (ui::choice("this head", page_ == Page::head)) page_ = Page::head;
  ui::tooltip("The gradients of the head that is open");
  draw_precision();
  page_ == Page::head ? head_.draw(session, gradients, seed_, request_.precision, device) : draw_one_layer(runner, times);
}

void TrainingPanel::draw_precision() {
  for (const Precision precision : {Precision::f64, Precision::f32}) {
    ImGui::SameLine(0.0F, precision == Precision::f64 ? ImGui::GetFontSize() : -1.0F);
    const std::string name(convbasis::name_of(precision));
    if (ui::choice(name.c_str(), request_.precision == precision)) request_.precision = precision;
    ui::tooltip(precision == Precision::f64 ? "In double, on the CPU" : "In float, where the device may be a GPU");
  }
}

void TrainingPanel::draw_one_layer(TrainingRunner& runner, TrainingTimes& times) {
  const float em = ImGui::GetFontSize();
  const bool beside = ImGui::GetContentRegionAvail().x >= wide_enough * em;
  runner.want(clamped(request_), device_);
  const TrainingView& view = runner.view();
  draw_buttons(clamped(request_), view, runner);
  const ImVec2 room = ImGui::GetContentRegionAvail();
  const ImVec2 rest(room.x - (beside ? setup_width * em + ImGui::GetStyle().ItemSpacing.x : 0.0F), room.y);
  const bool all = rest.x >= all_width * em && rest.y >= all_height * em;
  if (!all) draw_views(beside);
  if (beside) {
    ImGui::BeginChild("setup", {setup_width * em, 0.0F});
    draw_training_setup(request_);
    ImGui::EndChild();
    ImGui::SameLine();
  }
  ImGui::BeginChild("views");
  // The findings take two lines where they are long.
  const std::string found = findings(view.result);
  const float width = ImGui::GetContentRegionAvail().x;
  const float below = ImGui::CalcTextSize(found.c_str(), nullptr, false, width).y + ImGui::GetStyle().ItemSpacing.y;
  const ImVec2 inner(width, ImGui::GetContentRegionAvail().y - below);
  if (all) {
    draw_all_views(inner, view, times);
  } else {
    draw_view(view_, inner, view, times);
  }
  if (all || view_ != View::setup) ui::wrapped(found);
  ImGui::EndChild();
}

void TrainingPanel::draw_buttons(const TrainingRequest& wanted, const TrainingView& view, TrainingRunner& runner) const {
  const bool running = view.state == TrainingView::State::running;
  const bool stale = view.state != TrainingView::State::empty && !view.result.is_of(wanted, device_);
  const bool done = view.state == TrainingView::State::done && !stale && view.result.steps() >= wanted.steps;
  // What is begun now would be begun anew.
  const bool waits = wanted.precision == Precision::f32 && !device_.known_for(wanted.problem.n);
  if (running) {
    if (ImGui::SmallButton("Stop")) runner.stop();
    ui::tooltip("Keeps what there is; Run goes on from there.");
  } else {
    ImGui::BeginDisabled(done || waits);
    if (ImGui::SmallButton("Run")) runner.run(wanted, device_);
    ImGui::EndDisabled();
    ui::tooltip("All steps, in the background. Another setup begins anew; its curves stay, faint, to compare with.");
  }
  ImGui::SameLine();
  ImGui::BeginDisabled(running || waits);
  if (ImGui::SmallButton("Step")) runner.step(wanted, device_);
  ImGui::EndDisabled();
  ui::tooltip("One more step by each backward pass.");
  ImGui::SameLine();
  if (ImGui::SmallButton("Reset")) runner.reset();
  ui::tooltip("Forgets all steps and all curves.");
  ImGui::SameLine();
  const bool failed = view.state == TrainingView::State::failed;
  ui::fitted(waits ? "looking for a GPU…" : state_text(view, stale), ImGui::GetColorU32(failed  ? ui::error_colour()
                                                                                        : stale ? ui::warning_colour()
                                                                                                : aside_colour()));
}

void TrainingPanel::draw_views(bool setup_beside) {
  if (setup_beside && view_ == View::setup) view_ = View::loss;
  bool first = true;
  for (const auto& [which, name] : views) {
    if (setup_beside && which == View::setup) continue;
    if (!std::exchange(first, false)) ImGui::SameLine(0.0F, ImGui::GetStyle().ItemInnerSpacing.x);
    if (ui::choice(name, view_ == which)) view_ = which;
  }
}

void TrainingPanel::draw_view(View which, ImVec2 room, const TrainingView& view, TrainingTimes& times) {
  if (which == View::setup) return draw_training_setup(request_);
  if (which == View::times) return draw_times(room, times);
  if (view.result.steps() == 0 && !view.earlier) return ui::empty_state(promise(which));
  if (which == View::loss) curves_.draw_loss(view, room);
  if (which == View::error) curves_.draw_error(view, room);
  if (which == View::maps) draw_maps(room, view);
}

void TrainingPanel::draw_all_views(ImVec2 room, const TrainingView& view, TrainingTimes& times) {
  const ImVec2 spacing = ImGui::GetStyle().ItemSpacing;
  const ImVec2 part((room.x - spacing.x) / 2.0F, (room.y - spacing.y) / 2.0F);
  const std::array<View, 4> places{View::loss, View::maps, View::error, View::times};
  for (std::size_t place = 0; place < places.size(); ++place) {
    if (place % 2 == 1) ImGui::SameLine();
    ImGui::PushID(static_cast<int>(place));
    ImGui::BeginChild("view", part);
    draw_view(places[place], ImGui::GetContentRegionAvail(), view, times);
    ImGui::EndChild();
    ImGui::PopID();
  }
}

void TrainingPanel::draw_maps(ImVec2 room, const TrainingView& view) {
  if (std::exchange(maps_version_, view.version) != view.version) {
    std::vector<GradientMap> maps;
    for (const TrainingRun& run : view.result.runs) {
      if (run.steps.empty()) continue;
      GradientMap& map = maps.emplace_back();
      map.backward = run.backward;
      map.gradient = pooled_peaks(run.gradient, GradientMaps::most_cells);
      map.error = run.steps.back().gradient_error;
      map.rows = run.gradient.rows();
      map.columns = run.gradient.cols();
      if (run.backward == Backward::exact || run.exact_gradient.size() == 0) continue;
      map.difference = pooled_peaks<double>(run.gradient - run.exact_gradient, GradientMaps::most_cells);
    }
    maps_.set(std::move(maps));
  }
  maps_.draw(room, "row", "column");
}

void TrainingPanel::draw_times(ImVec2 room, TrainingTimes& times) {
  using State = StepTimesView::State;
  const StepTimesView view = times.view();
  const bool at_work = view.state == State::measuring || view.state == State::paused;
  const float below = ImGui::GetTextLineHeightWithSpacing();
  if (at_work) {
    if (ImGui::SmallButton("Stop measuring")) times.stop();
  } else if (ImGui::SmallButton(view.state == State::unasked ? "Measure" : "Measure again")) {
    times.measure(clamped(request_), device_);
  }
  ui::tooltip("Takes the time of a step for 256 to 16384 tokens, while nothing else runs: the median of some steps.");
  ImGui::SameLine();
  std::string text;
  if (view.state == State::measuring) text = fmt::format("measuring n = {} …", view.n);
  if (view.state == State::paused) text = "waits while you work";
  if (view.state == State::stopped) text = "stopped";
  if (view.state == State::failed) text = view.failure;
  if (view.state == State::done) {
    text = fmt::format("d {} · k {} · {}", view.request.problem.d, view.request.problem.k,
                       precision_text(view.request.precision, view.device));
  }
  ui::fitted(text, ImGui::GetColorU32(view.state == State::failed ? ui::error_colour() : aside_colour()));
  if (view.points.empty()) {
    ui::empty_state("What a step costs against n, by each backward pass, is measured here on demand. Some ten seconds.");
    return;
  }
  curves_.draw_times(view, {room.x, room.y - below});
}

}  // namespace convscope
