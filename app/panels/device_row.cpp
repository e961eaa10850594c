#include "panels/device_row.h"

#include "panels/ui.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace convscope {

std::vector<DeviceWish> device_wishes(const DeviceChoice& devices) {
  const convbasis::GpuStatus* status = devices.status();
  const int gpus = status ? std::max(1, static_cast<int>(std::ssize(status->devices))) : 1;
  std::vector<DeviceWish> wishes{{}, {DeviceWish::Kind::cpu}};
  for (int number = 0; number < gpus; ++number) wishes.push_back({DeviceWish::Kind::gpu, number});
  if (std::ranges::find(wishes, devices.wish()) == wishes.end()) wishes.push_back(devices.wish());
  return wishes;
}

std::string short_name(const DeviceWish& wish) {
  switch (wish.kind) {
    case DeviceWish::Kind::automatic:
      return "auto";
    case DeviceWish::Kind::cpu:
      return "CPU";
    case DeviceWish::Kind::gpu:
      return fmt::format("GPU {}", wish.number);
  }
  return "";
}

std::string about(const DeviceWish& wish, const DeviceChoice& devices) {
  switch (wish.kind) {
    case DeviceWish::Kind::automatic:
      return fmt::format("GPU 0 for heads of at least {} tokens if there is one, else the CPU", smallest_on_auto);
    case DeviceWish::Kind::cpu:
      return "Everything on the CPU; no GPU is looked for";
    case DeviceWish::Kind::gpu:
      return devices.about_gpu(wish.number);
  }
  return "";
}

std::optional<DeviceWish> draw_device_row(const DeviceChoice& devices) {
  std::optional<DeviceWish> chosen;
  const float left = ImGui::GetCursorPosX();
  const float right = ImGui::GetContentRegionMax().x;
  const ImGuiStyle& style = ImGui::GetStyle();
  bool first = true;
  for (const DeviceWish& wish : device_wishes(devices)) {
    const std::string name = short_name(wish);
    const float width = ImGui::CalcTextSize(name.c_str()).x + 2.0F * style.FramePadding.x;
    const float end = ImGui::GetItemRectMax().x - ImGui::GetWindowPos().x + style.ItemSpacing.x + width;
    if (!first && end <= right) ImGui::SameLine();
    if (!first && end > right) ImGui::SetCursorPosX(left);
    first = false;
    const bool possible = wish.kind != DeviceWish::Kind::gpu || devices.may_be(wish.number);
    ImGui::BeginDisabled(!possible);
    if (ui::choice(name.c_str(), wish == devices.wish())) chosen = wish;
    ImGui::EndDisabled();
    ui::tooltip(about(wish, devices));
  }
  return chosen;
}

}  // namespace convscope
