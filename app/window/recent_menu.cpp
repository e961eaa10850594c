#include "window/recent_menu.h"

#include "panels/ui.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

namespace convscope {

namespace {

std::string label_of(const FileGroup& group) {
  std::string label = group.front().filename().string();
  if (group.size() > 1) label += fmt::format(" and {} more", group.size() - 1);
  return label;
}

}  // namespace

struct RecentMenu::Answer {
  std::vector<FileGroup> asked;
  std::vector<char> missing;
  std::atomic<bool> done{false};
};

void RecentMenu::look_up(const std::vector<FileGroup>& recent) {
  answer_ = std::make_shared<Answer>();
  answer_->asked = recent;
  // Detached: a network disk that is gone may keep it for minutes, and nothing but its own answer is touched.
  std::thread([answer = answer_] {
    for (const FileGroup& group : answer->asked) {
      answer->missing.push_back(std::ranges::any_of(group, [](const std::filesystem::path& file) {
        std::error_code error;
        return !std::filesystem::exists(file, error);
      }));
    }
    answer->done = true;
  }).detach();
}

const FileGroup* RecentMenu::draw(const std::vector<FileGroup>& recent) {
  const int frame = ImGui::GetFrameCount();
  if (frame != last_frame_ + 1) look_up(recent);
  last_frame_ = frame;
  if (recent.empty()) ImGui::MenuItem("none yet", nullptr, false, false);
  const bool known = answer_->done && answer_->asked == recent;
  const FileGroup* chosen = nullptr;
  for (std::size_t i = 0; i < recent.size(); ++i) {
    const bool missing = known && answer_->missing[i] != 0;
    ImGui::PushID(static_cast<int>(i));
    if (ImGui::MenuItem(label_of(recent[i]).c_str(), missing ? "missing" : nullptr, false, !missing)) chosen = &recent[i];
    ImGui::SetItemTooltip("%s", recent[i].front().string().c_str());
    ImGui::PopID();
  }
  return chosen;
}

}  // namespace convscope
