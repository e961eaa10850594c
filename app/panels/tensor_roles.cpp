#include "panels/tensor_roles.h"

#include "panels/ui.h"
#include "state/provenance.h"
#include "view/fuzzy.h"

#include <fmt/format.h>
#include <imgui.h>
#include <misc/cpp/imgui_stdlib.h>

#include <algorithm>
#include <array>
#include <utility>

namespace convscope {

namespace {

using convbasis::AttentionKind;

constexpr const char* as_found = "as found";

std::string capitalised(std::string_view word) {
  std::string text(word);
  text.front() = static_cast<char>(text.front() - 'a' + 'A');
  return text;
}

const char* help_of(TensorRole role) {
  switch (role) {
    case TensorRole::query:
      return "Q, after rotary embedding. {L} stands for the layer's number.";
    case TensorRole::key:
      return "K, after rotary embedding; it may have fewer heads than Q.";
    case TensorRole::value:
      return "V; it may have fewer heads than Q.";
    case TensorRole::attention:
      return "Square matrices, heads x n x n, in place of query and key: probabilities or scores.";
  }
  return "";
}

}  // namespace

void TensorRolesDialog::open(FilesRecipe files) {
  wanted_ = std::move(files);
  listing_.reset();
  problem_.clear();
  opening_ = true;
  look();
}

void TensorRolesDialog::look() {
  listing_job_.start([files = wanted_](const convbasis::RunContext& context) { return list_tensors(files, context); });
}

void TensorRolesDialog::take() {
  if (auto found = listing_job_.take()) {
    listing_ = std::move(*found);
    problem_.clear();
  } else if (std::string problem = listing_job_.failure(); !problem.empty()) {
    problem_ = single_line(problem);
  }
}

void TensorRolesDialog::set(TensorRole role, const std::string& name) {
  if (!listing_) return;
  choose(wanted_.hints, *listing_, role, name);
  look();
}

std::optional<FilesRecipe> TensorRolesDialog::draw() {
  take();
  if (std::exchange(opening_, false)) ImGui::OpenPopup(window_name);
  const ImGuiViewport* viewport = ImGui::GetMainViewport();
  const float em = ImGui::GetFontSize();
  ImGui::SetNextWindowPos(viewport->GetCenter(), ImGuiCond_Appearing, {0.5F, 0.5F});
  ImGui::SetNextWindowSize(
      {std::min(62.0F * em, viewport->WorkSize.x - 2.0F * em), std::min(40.0F * em, viewport->WorkSize.y - 2.0F * em)},
      ImGuiCond_Appearing);
  if (!ImGui::BeginPopupModal(window_name, nullptr, ImGuiWindowFlags_NoSavedSettings)) return std::nullopt;
  std::string names;
  for (const auto& path : wanted_.paths) names += (names.empty() ? "" : ", ") + single_line(path.filename().string());
  ui::fitted(names, ImGui::GetColorU32(ImGuiCol_TextLink));
  draw_tensors();
  draw_choices();
  draw_finding();
  std::optional<FilesRecipe> answer;
  if (draw_buttons()) answer = wanted_;
  ImGui::EndPopup();
  return answer;
}

void TensorRolesDialog::draw_tensors() {
  // What is below has its place first: four choices and the buttons, and two lines of what was found.
  const float below = 5.0F * ImGui::GetFrameHeightWithSpacing() + 2.0F * ImGui::GetTextLineHeightWithSpacing() +
                      2.0F * ImGui::GetStyle().CellPadding.y + 2.0F * ImGui::GetStyle().ItemSpacing.y;
  const float height = std::max(ImGui::GetContentRegionAvail().y - below, 4.0F * ImGui::GetFrameHeightWithSpacing());
  constexpr ImGuiTableFlags flags = ImGuiTableFlags_ScrollY | ImGuiTableFlags_BordersInnerH | ImGuiTableFlags_Resizable |
                                    ImGuiTableFlags_BordersOuter | ImGuiTableFlags_SizingFixedFit |
                                    ImGuiTableFlags_NoSavedSettings;
  const bool several_files =
      wanted_.paths.size() > 1 ||
      (listing_ && !listing_->tensors.empty() &&
       std::ranges::any_of(listing_->tensors, [&](const ListedTensor& t) { return t.file != listing_->tensors.front().file; }));
  if (!ImGui::BeginTable("tensors", several_files ? 5 : 4, flags, {0.0F, height})) return;
  ImGui::TableSetupScrollFreeze(0, 1);
  ImGui::TableSetupColumn("tensor");
  ImGui::TableSetupColumn("type");
  ImGui::TableSetupColumn("shape");
  if (several_files) ImGui::TableSetupColumn("file");
  ImGui::TableSetupColumn("taken for", ImGuiTableColumnFlags_WidthStretch);
  ImGui::TableHeadersRow();
  if (listing_) {
    ImGuiListClipper clipper;
    clipper.Begin(static_cast<int>(listing_->tensors.size()));
    while (clipper.Step()) {
      for (int row = clipper.DisplayStart; row < clipper.DisplayEnd; ++row) {
        ImGui::PushID(row);
        draw_row(listing_->tensors[static_cast<std::size_t>(row)], several_files);
        ImGui::PopID();
      }
    }
    for (const std::string& line : listing_->unread) {
      ImGui::TableNextRow();
      ImGui::TableNextColumn();
      ui::dim("not read: " + line);
    }
  }
  ImGui::EndTable();
}

void TensorRolesDialog::draw_row(const ListedTensor& tensor, bool several_files) {
  ImGui::TableNextRow();
  ImGui::TableNextColumn();
  if (ImGui::Selectable("##row", false, ImGuiSelectableFlags_SpanAllColumns)) ImGui::OpenPopup("use");
  // A choice makes a new listing, but this row belongs to the old one until the next frame.
  if (ImGui::BeginPopup("use")) {
    ui::dim(single_line(tensor.choice.empty() ? tensor.name + " cannot be used" : tensor.choice + " is"));
    for (const TensorRole role : all_tensor_roles) {
      if (!tensor.choice.empty() && ImGui::MenuItem(capitalised(name_of(role)).c_str())) set(role, tensor.choice);
    }
    ImGui::EndPopup();
  }
  ImGui::SameLine(0.0F, 0.0F);
  const auto cell = [&](const std::string& text) { tensor.used ? ImGui::TextUnformatted(text.c_str()) : ui::dim(text); };
  cell(single_line(tensor.name));
  ImGui::TableNextColumn();
  cell(tensor.type);
  ImGui::TableNextColumn();
  cell(tensor.shape);
  if (several_files) {
    ImGui::TableNextColumn();
    cell(tensor.file);
  }
  ImGui::TableNextColumn();
  ui::fitted(tensor.use, ImGui::GetColorU32(tensor.used ? ImGuiCol_Text : ImGuiCol_TextDisabled));
}

void TensorRolesDialog::draw_choices() {
  // Two columns: the names, and how their shapes and numbers are meant.
  const float em = ImGui::GetFontSize();
  if (!ImGui::BeginTable("choices", 2, ImGuiTableFlags_SizingStretchProp | ImGuiTableFlags_NoSavedSettings)) return;
  ImGui::TableSetupColumn("names", ImGuiTableColumnFlags_WidthStretch, 3.0F);
  ImGui::TableSetupColumn("meaning", ImGuiTableColumnFlags_WidthStretch, 2.0F);
  ImGui::TableNextColumn();
  ImGui::PushItemWidth(-5.0F * em);
  ImGui::BeginDisabled(!listing_);
  for (const TensorRole role : all_tensor_roles) draw_role(role);
  ImGui::EndDisabled();
  ImGui::PopItemWidth();
  ImGui::TableNextColumn();
  ImGui::PushItemWidth(-8.5F * em);
  draw_layout();
  ImGui::PopItemWidth();
  ImGui::EndTable();
}

void TensorRolesDialog::draw_role(TensorRole role) {
  const auto& chosen = named(wanted_.hints, role);
  const std::string found = listing_ ? found_name(*listing_, role) : "";
  std::string shown = chosen ? *chosen : found.empty() ? "none" : fmt::format("{} ({})", found, as_found);
  const bool unused = role == TensorRole::attention ? wanted_.hints.query_name.has_value()
                                                    : wanted_.hints.attention_name && role != TensorRole::value;
  if (!chosen && unused) shown = "none";
  ImGui::SetNextWindowSizeConstraints({0.0F, 0.0F}, {FLT_MAX, 20.0F * ImGui::GetTextLineHeightWithSpacing()});
  if (ImGui::BeginCombo(capitalised(name_of(role)).c_str(), single_line(shown).c_str())) {
    draw_role_list(role);
    ImGui::EndCombo();
  } else {
    ui::tooltip(help_of(role));
  }
}

void TensorRolesDialog::draw_role_list(TensorRole role) {
  if (ImGui::IsWindowAppearing()) {
    filter_.clear();
    ImGui::SetKeyboardFocusHere();
  }
  ImGui::SetNextItemWidth(-FLT_MIN);
  ImGui::InputTextWithHint("##filter", "some letters of its name", &filter_);
  std::vector<const RoleChoice*> shown;
  for (const RoleChoice& choice : listing_->choices) {
    if (fuzzy_score(filter_, choice.name) > 0) shown.push_back(&choice);
  }
  std::optional<std::string> picked;
  ImGuiListClipper clipper;
  clipper.Begin(static_cast<int>(shown.size()));
  while (clipper.Step()) {
    for (int row = clipper.DisplayStart; row < clipper.DisplayEnd; ++row) {
      const RoleChoice& choice = *shown[static_cast<std::size_t>(row)];
      ImGui::PushID(row);
      std::string label = single_line(choice.name);
      if (choice.count > 1) label += fmt::format("  ({} tensors)", choice.count);
      if (ImGui::Selectable((label + "###choice").c_str(), named(wanted_.hints, role) == choice.name)) picked = choice.name;
      ImGui::PopID();
    }
  }
  if (shown.empty()) ui::dim("No tensor has these letters.");
  if (picked) set(role, *picked);
}

void TensorRolesDialog::draw_layout() {
  constexpr std::array<std::pair<const char*, const char*>, 8> layouts{
      {{"hnd", "heads, tokens, width"},
       {"1hnd", "a batch of one, heads, tokens, width"},
       {"nhd", "tokens, heads, width"},
       {"1nhd", "a batch of one, tokens, heads, width"},
       {"lhnd", "layers, heads, tokens, width"},
       {"nd", "tokens, width: one head"},
       {"n(hd)", "tokens, all heads side by side"},
       {"1n(hd)", "a batch of one, tokens, all heads side by side"}}};
  auto& hints = wanted_.hints;
  bool changed = false;
  if (ImGui::BeginCombo("Axes", hints.layout ? hints.layout->c_str() : as_found)) {
    if (ImGui::Selectable(as_found, !hints.layout)) hints.layout.reset(), changed = true;
    for (const auto& [layout, meaning] : layouts) {
      if (ImGui::Selectable(fmt::format("{:8}{}###{}", layout, meaning, layout).c_str(), hints.layout == layout))
        hints.layout = layout, changed = true;
    }
    ImGui::EndCombo();
  } else {
    ui::tooltip("The order of the axes of query, key and value.");
  }
  ImS64 heads = hints.heads.value_or(0);
  if (ImGui::InputScalar("Query heads", ImGuiDataType_S64, &heads, nullptr, nullptr, heads == 0 ? as_found : "%lld")) {
    hints.heads.reset();
    if (heads > 0) hints.heads = heads;
    changed = true;
  }
  ui::tooltip("How many heads the query has: needed where they lie side by side in one axis. 0: as found.");
  const char* kind = !hints.attention_kind                                   ? as_found
                     : *hints.attention_kind == AttentionKind::probabilities ? "probabilities"
                                                                             : "scores";
  if (ImGui::BeginCombo("Matrices hold", kind)) {
    if (ImGui::Selectable(as_found, !hints.attention_kind)) hints.attention_kind.reset(), changed = true;
    for (const AttentionKind each : {AttentionKind::probabilities, AttentionKind::scores}) {
      const std::string name(convbasis::name_of(each));
      if (ImGui::Selectable(name.c_str(), hints.attention_kind == each)) hints.attention_kind = each, changed = true;
    }
    ImGui::EndCombo();
  } else {
    ui::tooltip(
        "What attention matrices are: probabilities, after the softmax, or scores, before it. As found: a few rows tell.");
  }
  if (changed) look();
}

void TensorRolesDialog::draw_finding() const {
  // Two lines in any case, so that the buttons below stay where they are.
  const float start = ImGui::GetCursorPosY();
  const std::string missing = still_to_choose(wanted_.hints);
  if (!problem_.empty()) {
    ui::wrapped(problem_, ui::error_colour());
  } else if (!missing.empty()) {
    ui::wrapped("Still to choose: " + missing + ".", ui::warning_colour());
  } else if (!up_to_date()) {
    ui::dim("Looking into the files…");
  } else if (listing_->layers.empty()) {
    ui::wrapped(listing_->why_not, ui::error_colour());
  } else {
    ui::wrapped("Found: " + finding_text(*listing_) + ".");
    ui::tooltip(single_line(listing_->layers.front().reason));
  }
  ImGui::SetCursorPosY(std::max(ImGui::GetCursorPosY(), start + 2.0F * ImGui::GetTextLineHeightWithSpacing()));
}

bool TensorRolesDialog::draw_buttons() {
  ImGui::BeginDisabled(!up_to_date() || listing_->layers.empty());
  const bool apply = ImGui::Button("Apply");
  ImGui::EndDisabled();
  ui::tooltip("Opens the files so.");
  ImGui::SameLine();
  ImGui::BeginDisabled(hint_words(wanted_.hints).empty());
  const bool reset = ImGui::Button("Reset");
  ImGui::EndDisabled();
  ui::tooltip("Back to what the names and shapes say by themselves.");
  if (reset) {
    wanted_.hints = {};
    look();
  }
  ImGui::SameLine();
  const bool cancel = ImGui::Button("Cancel") || (ImGui::IsKeyPressed(ImGuiKey_Escape, false) && !list_was_open_);
  list_was_open_ = ImGui::IsPopupOpen(nullptr, ImGuiPopupFlags_AnyPopupId);
  if (apply || cancel) {
    listing_job_.cancel();
    ImGui::CloseCurrentPopup();
  }
  return apply;
}

}  // namespace convscope
