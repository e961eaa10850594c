#include "panels/training_setup.h"

#include "panels/backward_look.h"
#include "panels/ui.h"

#include <imgui.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace convscope {

namespace {

/// The name of the next field in the left column of the form.
void name_field(const char* name, const char* help) {
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

/// `pairs` of a name and its field in a row.
bool begin_form(const char* id, int pairs) {
  if (!ImGui::BeginTable(id, 2 * pairs)) return false;
  for (int pair = 0; pair < pairs; ++pair) {
    ImGui::TableSetupColumn("name", ImGuiTableColumnFlags_WidthFixed);
    ImGui::TableSetupColumn("field", ImGuiTableColumnFlags_WidthStretch);
  }
  return true;
}

void problem_fields(convbasis::OneLayerOptions& problem) {
  whole_number("n", "##n", problem.n, "Tokens, 16 to 8192. An exact step costs n² d.");
  whole_number("d", "##d", problem.d, "Width of A1 and A2, even, 2 to 64; the parameters X are d x d.");
  whole_number("k", "##k", problem.k, "Segments of the planted conv basis, and the most that Recover looks for.");
  whole_number("T", "##T", problem.T, "Entries of a column that one probe of Recover reads.");
  real_number("noise", "##noise", problem.noise, "%.3g", "How far a score is from an exact conv basis at the start.");
  name_field("seed", "The same seed gives the same problem everywhere.");
  ImU64 seed = problem.seed;
  ImGui::PushFont(ui::mono_font());
  if (ImGui::InputScalar("##seed", ImGuiDataType_U64, &seed)) problem.seed = seed;
  ImGui::PopFont();
}

void descent_fields(TrainingRequest& request) {
  using convbasis::Between;
  using convbasis::Optimiser;
  name_field("optimiser", "Plain gradient descent, or Adam.");
  ImGui::AlignTextToFramePadding();
  if (ui::choice("gd", request.optimiser == Optimiser::gradient_descent)) request.optimiser = Optimiser::gradient_descent;
  ImGui::SameLine();
  if (ui::choice("adam", request.optimiser == Optimiser::adam)) request.optimiser = Optimiser::adam;
  real_number("rate", "##rate", request.rate, request.rate > 0.0 ? "%.3g" : "auto",
              "Length of a step; 0 is the usual one: 0.8 / (n d_v) for gd, 0.01 for Adam.");
  using convbasis::Parameters;
  name_field("X",
             "Tied: 2 x 2 blocks of rotation and scaling, a layer that knows relative positions only, whose scores keep their "
             "conv basis. Free: every entry by itself; the scores lose the basis within a few steps.");
  if (ui::choice("tied", request.parameters == Parameters::tied)) request.parameters = Parameters::tied;
  ImGui::SameLine();
  if (ui::choice("free", request.parameters == Parameters::free)) request.parameters = Parameters::free;
  whole_number("steps", "##steps", request.steps, "How many \"Run\" takes, 1 to 10000.");
  whole_number("recover every", "##every", request.recover_every,
               "Recover looks for the basis anew in every s-th step; the conv ways use a stale one between. What that costs is "
               "seen against a run with s = 1.");
  name_field("between",
             "What is kept between two recoveries: the starts alone, their lag vectors being read anew in every step, "
             "or the whole basis as it was.");
  if (ui::choice("starts", request.between == Between::starts)) request.between = Between::starts;
  ImGui::SameLine();
  if (ui::choice("basis", request.between == Between::basis)) request.between = Between::basis;
}

void way_fields(TrainingRequest& request) {
  ImGui::PushStyleVar(ImGuiStyleVar_FramePadding, {0.0F, 0.0F});
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
  ImGui::PopStyleVar();
}

}  // namespace

void draw_training_setup(TrainingRequest& request) {
  if (begin_form("problem", 2)) {
    problem_fields(request.problem);
    ImGui::EndTable();
  }
  if (begin_form("descent", 1)) {
    descent_fields(request);
    ImGui::EndTable();
  }
  way_fields(request);
  if (!ImGui::IsAnyItemActive()) request = clamped(request);
}

}  // namespace convscope
