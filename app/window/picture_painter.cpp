#include "window/picture_painter.h"

#include "window/theme.h"

#include <imgui_impl_opengl3.h>
#include <imgui_internal.h>
#include <implot.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace convscope {

namespace {

constexpr int strip_pixels = 300'000;  ///< painted in one step: some milliseconds also without a GPU
constexpr int samples_a_pixel = 4;
constexpr int settling_frames = 3;      ///< plots fit their axes in the first and use them in the next
constexpr float largest_side = 32'768;  ///< pixels

/// Makes other contexts current and, at the end, those before.
class ContextScope {
 public:
  ContextScope(ImGuiContext* imgui, ImPlotContext* implot) {
    ImGui::SetCurrentContext(imgui);
    ImPlot::SetCurrentContext(implot);
  }
  ~ContextScope() {
    ImGui::SetCurrentContext(imgui_before_);
    ImPlot::SetCurrentContext(implot_before_);
  }
  ContextScope(const ContextScope&) = delete;
  ContextScope& operator=(const ContextScope&) = delete;

 private:
  ImGuiContext* imgui_before_ = ImGui::GetCurrentContext();
  ImPlotContext* implot_before_ = ImPlot::GetCurrentContext();
};

}  // namespace

/// New ones for each picture: nothing of an earlier picture, or of one that failed half-way, is left.
class PicturePainter::Contexts {
 public:
  Contexts(Theme theme, int scale) {
    ImGuiContext* const imgui_before = ImGui::GetCurrentContext();
    ImPlotContext* const implot_before = ImPlot::GetCurrentContext();
    imgui_ = ImGui::CreateContext();
    implot_ = ImPlot::CreateContext();
    ImGui::SetCurrentContext(imgui_before);
    ImPlot::SetCurrentContext(implot_before);
    const ContextScope scope(imgui_, implot_);
    ImGuiIO& io = ImGui::GetIO();
    io.IniFilename = nullptr;
    io.LogFilename = nullptr;
    // A frame that an exception leaves half-way goes with its context.
    io.ConfigErrorRecoveryEnableAssert = false;
    io.DisplayFramebufferScale = {static_cast<float>(scale), static_cast<float>(scale)};
    io.DeltaTime = 1.0F / 60.0F;
    ImGui_ImplOpenGL3_Init("#version 330 core");
    load_fonts();
    apply_theme(theme, 1.0, 1.0);
    // Lines are smoothed by samples: the texture for smooth lines is blurred at a large scale.
    ImGui::GetStyle().AntiAliasedLinesUseTex = false;
  }
  ~Contexts() {
    const ContextScope scope(imgui_, implot_);
    ImGui_ImplOpenGL3_Shutdown();
    ImPlot::DestroyContext(implot_);
    ImGui::DestroyContext(imgui_);
  }
  Contexts(const Contexts&) = delete;
  Contexts& operator=(const Contexts&) = delete;

  ImGuiContext* imgui() const { return imgui_; }
  ImPlotContext* implot() const { return implot_; }

 private:
  ImGuiContext* imgui_;
  ImPlotContext* implot_;
};

PicturePainter::PicturePainter() = default;
PicturePainter::~PicturePainter() = default;

void PicturePainter::begin(PictureContents contents, Theme theme, int scale) {
  contents_ = std::move(contents);
  scale_ = std::max(scale, 1);
  size_ = {};
  prepared_ = !contents_.prepare;
  painted_ = 0;
  picture_ = {};
  contexts_ = std::make_unique<Contexts>(theme, scale_);
}

bool PicturePainter::step() {
  if (!contexts_) return true;
  bool done = false;
  try {
    const gl::SavedTarget saved;
    const ContextScope scope(contexts_->imgui(), contexts_->implot());
    if (!prepared_) {
      prepared_ = contents_.prepare();
    } else if (size_.y <= 0.0F) {
      lay_out();
    } else {
      paint_strip();
      done = painted_ >= static_cast<int>(size_.y);
    }
  } catch (...) {
    abandon();
    throw;
  }
  if (!done) return false;
  contexts_.reset();
  contents_ = {};
  samples_.reset();
  return true;
}

void PicturePainter::abandon() {
  contexts_.reset();
  contents_ = {};
  samples_.reset();
  picture_ = {};
}

Picture PicturePainter::take() { return std::exchange(picture_, {}); }

void PicturePainter::lay_out() {
  const auto frame = [](ImVec2 size, const auto& draw) {
    ImGui_ImplOpenGL3_NewFrame();
    ImGui::GetIO().DisplaySize = size;
    ImGui::NewFrame();
    // Only the current font is told how dense the pixels are; text is drawn with the others by name, too.
    for (ImFont* font : ImGui::GetIO().Fonts->Fonts) font->CurrentRasterizerDensity = ImGui::GetIO().DisplayFramebufferScale.x;
    ImGui::SetNextWindowPos({0.0F, 0.0F});
    ImGui::SetNextWindowSize(size);
    ImGui::PushStyleVar(ImGuiStyleVar_WindowBorderSize, 0.0F);
    ImGui::PushStyleVar(ImGuiStyleVar_WindowRounding, 0.0F);
    constexpr ImGuiWindowFlags flags = ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoSavedSettings |
                                       ImGuiWindowFlags_NoInputs | ImGuiWindowFlags_NoFocusOnAppearing | ImGuiWindowFlags_NoNav;
    ImGui::Begin("picture", nullptr, flags);
    draw();
    ImGui::End();
    ImGui::PopStyleVar(2);
    ImGui::Render();
    for (ImTextureData* texture : *ImGui::GetDrawData()->Textures) {
      if (texture->Status != ImTextureStatus_OK) ImGui_ImplOpenGL3_UpdateTexture(texture);
    }
  };
  ImVec2 size;
  frame({64.0F, 64.0F}, [&] { size = contents_.measure(); });
  size = {std::ceil(size.x), std::ceil(size.y)};
  const auto pixels = static_cast<float>(scale_);
  if (!(size.x >= 1.0F && size.y >= 1.0F && size.x * pixels <= largest_side && size.y * pixels <= largest_side)) {
    throw gl::Error("a picture of " + std::to_string(static_cast<long long>(size.x * pixels)) + " x " +
                    std::to_string(static_cast<long long>(size.y * pixels)) +
                    " pixels cannot be painted; choose a smaller scale");
  }
  for (int i = 0; i < settling_frames; ++i) frame(size, contents_.draw);
  const int width = static_cast<int>(size.x) * scale_;
  strip_height_ = std::clamp(strip_pixels / (width * scale_), 1, static_cast<int>(size.y));
  samples_ = std::make_unique<gl::MultisampleCanvas>(width, strip_height_ * scale_, samples_a_pixel);
  canvas_.resize(width, strip_height_ * scale_);
  picture_ = {.width = width, .height = static_cast<int>(size.y) * scale_, .rgb = {}};
  picture_.rgb.reserve(3 * static_cast<std::size_t>(picture_.width) * static_cast<std::size_t>(picture_.height));
  size_ = size;
}

void PicturePainter::paint_strip() {
  ImDrawData* const data = ImGui::GetDrawData();
  const int height = std::min(strip_height_, static_cast<int>(size_.y) - painted_);
  data->DisplayPos = {0.0F, static_cast<float>(painted_)};
  data->DisplaySize = {size_.x, static_cast<float>(height)};
  glBindFramebuffer(GL_FRAMEBUFFER, samples_->framebuffer());
  glDisable(GL_SCISSOR_TEST);
  glViewport(0, 0, picture_.width, height * scale_);
  const ImVec4& ground = ImGui::GetStyleColorVec4(ImGuiCol_WindowBg);
  glClearColor(ground.x, ground.y, ground.z, 1.0F);
  glClear(GL_COLOR_BUFFER_BIT);
  ImGui_ImplOpenGL3_RenderDrawData(data);
  samples_->resolve(canvas_, height * scale_);
  glBindFramebuffer(GL_READ_FRAMEBUFFER, canvas_.framebuffer());
  const Picture strip = read_framebuffer(picture_.width, height * scale_);
  picture_.rgb.insert(picture_.rgb.end(), strip.rgb.begin(), strip.rgb.end());
  painted_ += height;
}

}  // namespace convscope
