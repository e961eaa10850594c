#include "panels/training_setup.h"

#include "panels/backward_look.h"
#include "panels/ui.h"

#include <fmt/format.h>
#include <imgui.h>

#include <string>

namespace convscope {

namespace {

/// The name of the next field in the left column of the form.
void name_field(const char* name, const char* help) {
  ImGui::TableNextRow();
  ImGui::TableNextColumn();
  ImGui::AlignTextToFramePadding();
  ui::dim(name);
  ui::tooltip(help);
  ImGui::TableNextColumn();
  ImGui::SetNextItemWidth(-1.0F);
}

void whole_number(const char* name, const char* id, Index& value, const char* help) {
  name_field(name, help);
  ImS64 entered = value;
  ImGui::PushFont(ui::mono_font());
  if (ImGui::InputScalar(id, ImGuiDataType_S64, &entered)) value = static_cast<Index>(entered);
  ImGui::PopFont();
  ui::tooltip(help);
}

void whole_number(const char* name, const char* id, int& value, const char* help) {
  Index wide = value;
  whole_number(name, id, wide, help);
  value = static_cast<int>(std::clamp<Index>(wide, 0, 1000000));
}

void real_number(const char* name, const char* id, double& value, const char* shown, const char* help) {
  name_field(name, help);
  ImGui::PushFont(ui::mono_font());
  ImGui::InputScalar(id, ImGuiDataType_Double, &value, nullptr, nullptr, shown);
  ImGui::PopFont();
  ui::tooltip(help);
}

void problem_fields(convbasis::OneLayerOptions& problem) {
  whole_number("n", "##n", problem.n, "Tokens, 16 to 8192. An exact step costs n² d.");
  whole_number("d", "##d", problem.d, "Width of A1 and A2, even, 2 to 64; the parameters X are d x d.");
  whole_number("k", "##k", problem.k, "Segments of the planted conv basis, and the most that Recover looks for.");
  whole_number("T", "##T", problem.T, "Entries of a column that one probe of Recover reads.");
  real_number("noise", "##noise", problem.noise, "%.3g", "How far a score is from an exact conv basis at the start.");
  Index seed = static_cast<Index>(problem.seed);
  whole_number("seed", "##seed", seed, "The same seed gives the same problem everywhere.");
  problem.seed = static_cast<std::uint64_t>(std::max<Index>(seed, 0));
}

void descent_fields(TrainingRequest& request) {
  using convbasis::Between;
  using convbasis::Optimiser;
  name_field("optimiser", "Plain gradient descent, or Adam.");
  ImGui::AlignTextToFramePadding();
  if (ui::choice("gd", request.optimiser == Optimiser::gradient_descent)) request.optimiser = Optimiser::gradient_descent;
  ImGui::SameLine();
  if (ui::choice("adam", request.optimiser == Optimiser::adam)) request.optimiser = Optimiser::adam;
  real_number("rate", "##rate", request.rate, request.rate > 0.0 ? "%.3g" : "auto", "Length of a step; 0 is the optimiser's own.");
  whole_number("steps", "##steps", request.steps, "How many \"Run\" takes, 1 to 10000.");
  whole_number("recover every", "##every", request.recover_every,
               "Recover looks for the basis anew in every s-th step; the conv ways use a stale one between. What that costs is "
               "seen against a run with s = 1.");
  name_field("between", "What is kept between two recoveries: the starts alone, their lag vectors being read anew in every step, "
                        "or the whole basis as it was.");
  if (ui::choice("starts", request.between == Between::starts)) request.between = Between::starts;
  ImGui::SameLine();
  if (ui::choice("basis", request.between == Between::basis)) request.between = Between::basis;
}

void way_fields(TrainingRequest& request) {
  for (std::size_t way = 0; way < convbasis::all_backwards.size(); ++way) {
    const Backward backward = convbasis::all_backwards[way];
    ImGui::PushID(static_cast<int>(way));
    bool wanted = request.wanted[way];
    // The one that is left stays: there would be nothing to show.
    const bool only = wanted && std::ranges::count(request.wanted, true) == 1;
    ImGui::BeginDisabled(only);
    if (ImGui::Checkbox("##wanted", &wanted)) request.wanted[way] = wanted;
    ImGui::EndDisabled();
    ImGui::SameLine();
    ImGui::BeginGroup();
    draw_backward_name(backward);
    ImGui::EndGroup();
    ui::tooltip(help_of(backward));
    ImGui::PopID();
  }
}

}  // namespace

void draw_training_setup(TrainingRequest& request) {
  if (ImGui::BeginTable("form", 2, ImGuiTableFlags_SizingStretchProp)) {
    ImGui::TableSetupColumn("name", ImGuiTableColumnFlags_WidthFixed);
    ImGui::TableSetupColumn("field", ImGuiTableColumnFlags_WidthStretch);
    problem_fields(request.problem);
    descent_fields(request);
    ImGui::EndTable();
  }
  way_fields(request);
  if (!ImGui::IsAnyItemActive()) request = clamped(request);
}

}  // namespace convscope
