#include "panels/source_panel.h"

#include "panels/ui.h"
#include "state/assets.h"
#include "state/provenance.h"
#include "state/tensor_listing.h"

#include <fmt/format.h>
#include <misc/cpp/imgui_stdlib.h>

#include <algorithm>
#include <tuple>
#include <utility>

namespace convscope {

void SourcePanel::ask_for_files() {
  if (FileDialog::available()) {
    dialog_.open("Open query, key and value tensors, attention matrices, or a session",
                 {"Tensors and sessions", "*.safetensors *.safetensors.index.json *.npy *.npz *.pt *.pth *.convscope.json",
                  "safetensors, and the index of their shards", "*.safetensors *.safetensors.index.json", "NumPy", "*.npy *.npz",
                  "PyTorch", "*.pt *.pth", "Sessions", "*.convscope.json", "All files", "*"});
  } else {
    typing_path_ = path_gets_focus_ = true;
  }
}

std::vector<std::filesystem::path> SourcePanel::poll() {
  if (auto files = dialog_.poll(); !files.empty()) chosen_ = std::move(files);
  return std::exchange(chosen_, {});
}

void SourcePanel::draw(Session& session, const std::map<LayerHead, double>& surveyed) {
  ui::help_mark(
      "The open query, key and value tensors, or attention matrices: files (safetensors or their index, npy, npz, pt, pth), or a "
      "planted input whose basis is known.\n"
      "Each cell is one head: a click opens it; its colour is ||Y~ − Y|| / ||Y|| with the present parameters, once it was "
      "opened.\n"
      "Attention of a head: P = softmax(scale · Q Kᵀ + position bias), causal, and Y = P V.\n"
      "Tensors… shows what each tensor was taken for, and lets you correct it.");
  ui::title("Source");
  draw_description(session);
  draw_buttons(session);
  if (typing_path_) draw_path_entry();
  if (session.source()) {
    ImGui::Spacing();
    ui::dim("Heads by error, where measured");
    ui::tooltip("Relative output error with the parameters below: bright is 0, dark is 1 or more, grey was not looked at yet.");
    const bool form_is_open = ImGui::GetStateStorage()->GetBool(ImGui::GetID("##planted"));
    const float form = ImGui::GetFrameHeightWithSpacing() * (form_is_open ? 7.0F : 1.0F);
    // The grid takes what the form leaves, but never so little that its cells cannot be told apart.
    const auto rows = static_cast<float>(std::min<std::size_t>(session.source()->layers().size(), 20));
    const float least = ImGui::GetFontSize() * (2.0F + 0.6F * rows);
    draw_head_grid(session, surveyed, std::max(ImGui::GetContentRegionAvail().y - form, least));
  } else {
    ImGui::Spacing();
    ui::wrapped(
        "Drop files with q, k and v or with attention matrices here (safetensors, npy, npz, pt, pth), or open the example.");
  }
  draw_planted_form(session);
}

void SourcePanel::draw_description(const Session& session) {
  const auto& source = session.source();
  if (!source) {
    ui::dim("Nothing is open.");
    return;
  }
  ui::fitted(source->name(), ImGui::GetColorU32(ImGuiCol_TextLink));
  if (!source->model().empty() && source->model() != source->name()) ui::fitted(source->model());
  const auto& layer = source->layer(session.wanted().layer);
  // Spaces that do not break keep a number and its unit on one line.
  const auto count = [](Index number, const char* what) {
    return fmt::format("{}\u00A0{}{}", number, what, number == 1 ? "" : "s");
  };
  ImGui::PushStyleColor(ImGuiCol_Text, ImGui::GetStyleColorVec4(ImGuiCol_TextDisabled));
  std::string sizes = fmt::format("{} · {} · {}", count(static_cast<Index>(source->layers().size()), "layer"),
                                  count(layer.heads, "head"), count(layer.kv_heads, "kv\u00A0head"));
  if (layer.width > 0) sizes += fmt::format(" · d\u00A0{}", layer.width);
  ui::wrapped(sizes + " · " + count(layer.size, "token"));
  const bool from_files = std::holds_alternative<FilesRecipe>(source->recipe());
  if (!layer.reason.empty()) ui::tooltip(single_line(layer.reason));
  if (from_files) {
    ui::wrapped("Scores: " + scores_text(layer));
    if (!layer.reason.empty()) ui::tooltip(single_line(layer.reason));
  }
  ImGui::PopStyleColor();
  draw_warnings(*source, layer);
}

void SourcePanel::draw_warnings(const Source& source, const convbasis::LayerInfo& layer) {
  if (layer.values_are_probes) {
    ui::wrapped("Values are random probes: the error is that of the matrix.", ui::warning_colour());
    ui::tooltip(
        "The files hold no values that fit. For n x 64 random signs V, ||M V|| estimates ||M||, so the output error estimates "
        "the "
        "error of the attention matrix itself.");
  }
  if (const std::string missing = single_line(source.missing(layer.layer)); !missing.empty()) {
    ui::wrapped("Not in the file: " + missing, ui::warning_colour());
    ui::tooltip("The model's attention has this in this layer, too: its numbers differ from those shown here.");
  }
}

void SourcePanel::draw_buttons(Session& session) {
  if (ImGui::Button("Open…")) ask_for_files();
  ui::tooltip(
      "Files with query, key and value, or with attention matrices: safetensors or their index, npy, npz, PyTorch's pt and pth; "
      "several at once. Files can be dropped on the window, too.");
  ImGui::SameLine();
  if (ImGui::Button("Example")) session.open_example();
  ui::tooltip("Heads of SmolLM2-135M, shipped with the program.");
  const bool files = session.refused() || (session.source() && std::holds_alternative<FilesRecipe>(session.source()->recipe()));
  ImGui::SameLine();
  ImGui::BeginDisabled(!files);
  if (ImGui::Button("Tensors…")) roles_wanted_ = true;
  ImGui::EndDisabled();
  ui::tooltip("All tensors of the files, and who is query, key and value.");
}

void SourcePanel::draw_path_entry() {
  if (std::exchange(path_gets_focus_, false)) ImGui::SetKeyboardFocusHere();
  ImGui::SetNextItemWidth(-FLT_MIN);
  const bool entered =
      ImGui::InputTextWithHint("##path", "path of a file, then Enter", &path_, ImGuiInputTextFlags_EnterReturnsTrue);
  if (entered && !path_.empty()) {
    chosen_ = {path_};
    typing_path_ = false;
    path_.clear();
  }
}

void SourcePanel::draw_head_grid(Session& session, const std::map<LayerHead, double>& surveyed, float height) {
  AnalysisRequest request = session.wanted();
  std::map<LayerHead, double> errors = session.head_errors();
  errors.insert(surveyed.begin(), surveyed.end());
  const auto asked = convscope::draw_head_grid(session.source()->layers(), {request.layer, request.head}, errors, height);
  if (!asked) return;
  std::tie(request.layer, request.head) = *asked;
  session.want(request);
}

void SourcePanel::draw_planted_form(Session& session) {
  const bool unfolded = ImGui::CollapsingHeader("Planted input");
  if (ImGui::IsItemToggledOpen()) ImGui::SetScrollHereY(0.0F);
  ImGui::GetStateStorage()->SetBool(ImGui::GetID("##planted"), unfolded);
  ui::tooltip(
      "An input whose conv basis is known: rotary scores that are exactly Toeplitz in each of k segments, with noise on top.");
  if (!unfolded) return;
  const auto number = [](const char* name, Index& value, const char* help) {
    ImS64 entered = value;
    if (ImGui::InputScalar(name, ImGuiDataType_S64, &entered)) value = entered;
    ui::tooltip(help);
  };
  ImGui::PushItemWidth(ImGui::GetContentRegionAvail().x * 0.55F);
  number("k segments", planted_.k, "Segments, at least 1.");
  number("n tokens", planted_.n, "Tokens. Time and memory grow with n times d.");
  number("d width", planted_.d, "Width of query and key, even.");
  ImGui::InputDouble("noise", &planted_.noise, 0.0, 0.0, "%.3g");
  ui::tooltip("No score is moved by more than this; Recover needs it to be at most δ / (5 T).");
  Index seed = static_cast<Index>(planted_.seed);
  number("seed", seed, "The same seed gives the same input everywhere.");
  planted_.seed = static_cast<std::uint64_t>(seed);
  ImGui::PopItemWidth();
  if (ImGui::Button("Make")) session.plant(planted_);
}

}  // namespace convscope
